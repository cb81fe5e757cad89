"""What every venue must pass: its decoders never raise, never guess, and say nothing that is not in the frame."""

from collections.abc import Callable, Mapping, Sequence

from observer.ports import Instrument, StreamPlan, Venue
from observer.venues.hostile import BOMBS, NOT_EVENTS, NOT_JSON, UNKNOWN, cut_short, mutated
from observer.venues.witness import ContractBroken, Witness, require


def check_venue(
    venue: Venue,
    make: Callable[[], Sequence[Instrument]],
    frames: Mapping[str, Sequence[bytes]],
    *,
    recv_ns: int,
    silent: Sequence[bytes] = (),
    answers: Callable[[Instrument], bytes] | None = None,
    has_totals: bool = True,
) -> None:
    """Run a venue's plans and decoders over a good session and over everything that is not one.

    Args:
        venue: the venue.
        make: fresh instruments, the same ones each time; together they need every stream in `frames`.
        frames: stream name -> the messages of a good session on it, in order, refused by nobody.
        recv_ns: when the session was received.
        silent: messages that prove nothing (pongs, acknowledgements, heartbeats); JSON or text.
        answers: the book by REST, where the decoders ask for one; given right after the message that made them ask.
        has_totals: False where sizes are differences on the wire, so that totals are not in the frames.

    Raises:
        ContractBroken: naming the rule it breaks.
    """
    plans = {plan.name: plan for plan in _plans(venue, make())}
    for name, session in frames.items():
        if name not in plans:
            raise ContractBroken(f"{venue.name} plans no stream {name!r}; it plans {', '.join(plans) or 'none'}")
        _Bench(venue, make, name, recv_ns, answers, has_totals).check(session, silent)


def _plans(venue: Venue, instruments: Sequence[Instrument]) -> list[StreamPlan]:
    plans, again = venue.plan(instruments), venue.plan(instruments)
    require([p.name for p in plans] == [p.name for p in again], f"{venue.name} names its streams anew each time")
    require(len({p.name for p in plans}) == len(plans), f"{venue.name} gives two streams one name")
    carried = [i for plan in plans for i in plan.instruments]
    require({id(i) for i in carried} == {id(i) for i in instruments}, f"{venue.name} does not carry what it is given")
    require(len(carried) == len(instruments), f"{venue.name} carries an instrument twice")
    for plan in plans:
        require(plan.url.startswith(("ws://", "wss://")), f"{plan.name} has no WebSocket address: {plan.url}")
        require(plan.silence_s > 0, f"{plan.name} has no limit of silence")
    return plans


class _Bench:
    """One stream under test."""

    def __init__(
        self,
        venue: Venue,
        make: Callable[[], Sequence[Instrument]],
        name: str,
        recv_ns: int,
        answers: Callable[[Instrument], bytes] | None,
        has_totals: bool,
    ) -> None:
        self.venue, self.make, self.name, self.recv_ns = venue, make, name, recv_ns
        self.answers, self.has_totals = answers, has_totals

    def check(self, session: Sequence[bytes], silent: Sequence[bytes]) -> None:
        self._check_good(session)
        self._check_silent(session, silent)
        for payload in (*BOMBS, *NOT_JSON, *cut_short(session)):
            self._check_refused(session, payload)
        for payload in NOT_EVENTS:
            require(not self._played(session).read(payload), f"{self.name} takes {payload!r} for data")
        after = self._played(session)
        before = after.n_faults
        is_data = after.read(UNKNOWN)
        require(not is_data and after.n_faults > before, f"{self.name} is silent about an event it does not know")
        for payload in mutated(session):
            self._played(session).read(payload)
        self._check_snapshots(session)

    def _check_good(self, session: Sequence[bytes]) -> None:
        first, second = self._played(session), self._played(session)
        require(not first.refused, f"{self.name} refuses a good session: {first.refused[:3]}")
        require(first.n_data > 0 and bool(first.events), f"{self.name} hears nothing in a good session")
        require(first.events == second.events, f"{self.name} reads the same session in two ways")
        crossed = [i.key for i in first.plan.instruments if i.book.is_valid and i.book.is_crossed]
        require(not crossed, f"{self.name} leaves crossed books behind: {crossed[:3]}")

    def _check_silent(self, session: Sequence[bytes], silent: Sequence[bytes]) -> None:
        for payload in silent:
            line = self._played(session)
            n_events, n_faults = len(line.events), line.n_faults
            is_data = line.read(payload)
            is_quiet = not is_data and len(line.events) == n_events and line.n_faults == n_faults
            require(is_quiet, f"{self.name} makes something of {payload[:60]!r}")

    def _check_refused(self, session: Sequence[bytes], payload: bytes) -> None:
        line = self._played(session)
        line.answers = None
        n_events, n_faults = len(line.events), line.n_faults
        is_data = line.read(payload)
        what = payload[:40] + b"..." + payload[-20:]
        require(not is_data and len(line.events) == n_events, f"{self.name} takes {what!r} for data")
        require(line.n_faults > n_faults, f"{self.name} lets {what!r} pass without a word")

    def _check_snapshots(self, session: Sequence[bytes]) -> None:
        for payload in (*BOMBS, *NOT_JSON, *NOT_EVENTS, UNKNOWN, b""):
            line = self._played(session)
            n_events = len(line.events)
            for instrument in line.plan.instruments:
                line.answer(instrument, payload)
            require(len(line.events) == n_events, f"{self.name} makes a book of the REST answer {payload[:40]!r}")

    def _played(self, session: Sequence[bytes]) -> "Witness":
        plan = next(plan for plan in self.venue.plan(self.make()) if plan.name == self.name)
        line = Witness(self.venue, plan, self.recv_ns, has_totals=self.has_totals, answers=self.answers)
        for payload in session:
            line.read(payload)
        return line
