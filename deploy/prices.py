"""What a month costs, from list prices that name their source and the day they are from.

Prices are those of us-east-1, before tax. Other regions cost up to a third more, Ireland about a tenth.
"""

from dataclasses import dataclass

HOURS = 730  # a month
DAYS = 30


@dataclass(frozen=True, slots=True)
class Price:
    """A list price.

    Attributes:
        usd: for one unit.
        unit: such as hour or GB-month.
        source: the page that names it.
        as_of: the month in which it was last set, or last seen in a public table.
    """

    usd: float
    unit: str
    source: str
    as_of: str


_EC2 = "https://aws.amazon.com/ec2/pricing/on-demand/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"

BOX: dict[str, Price] = {
    name: Price(usd, "hour", _EC2, "2026-06")
    for name, usd in {
        "t4g.micro": 0.0084,
        "t4g.small": 0.0168,
        "t4g.medium": 0.0336,
        "t4g.large": 0.0672,
        "m7g.medium": 0.0408,
        "m7g.large": 0.0816,
    }.items()
}
DISK = Price(0.08, "GB-month", "https://aws.amazon.com/ebs/pricing/", "2020-12")
ADDRESS = Price(0.005, "hour", "https://aws.amazon.com/vpc/pricing/", "2024-02")
STORED = Price(0.023, "GB-month", _S3, "2016-12")
PUTS = Price(0.005, "1,000 requests", _S3, "2013-04")
METRIC = Price(0.30, "month", _CLOUDWATCH, "2016-11")
ALARM = Price(0.10, "month", _CLOUDWATCH, "2010-12")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill; `usd` is None where the price is not known here."""

    what: str
    usd: float | None
    how: str
    price: Price | None

    def to_row(self) -> dict[str, str | float | None]:
        """As plain data; without a price where none is known."""
        row: dict[str, str | float | None] = {"what": self.what, "usd": self.usd, "how": self.how}
        if self.price is not None:
            row |= {"price_usd": self.price.usd, "per": self.price.unit}
            row |= {"source": self.price.source, "as_of": self.price.as_of}
        return row


def month(*, box: str, disk_gb: int, gb_per_day: float, files_per_day: int, has_alarm: bool) -> list[Line]:
    """The lines of the first month's bill."""
    lines = [
        _times("box", f"{box}, {HOURS} h", BOX[box], HOURS)
        if box in BOX
        else Line(f"box {box}", None, f"see {_EC2}", None),
        _times("disk", f"{disk_gb} GB gp3", DISK, disk_gb),
        _times("public address", f"IPv4, {HOURS} h", ADDRESS, HOURS),
        _times("bucket", f"{gb_per_day:g} GB a day, all of a month stored", STORED, gb_per_day * DAYS),
        _times("uploads", f"{files_per_day} files a day", PUTS, files_per_day * DAYS / 1000),
    ]
    if has_alarm:
        lines += [_times("alarm metric", "one", METRIC, 1), _times("alarm", "one", ALARM, 1)]
    return lines


def total(lines: list[Line]) -> float:
    """The sum of what is known."""
    return sum(line.usd for line in lines if line.usd is not None)


def _times(what: str, how: str, price: Price, units: float) -> Line:
    return Line(what, price.usd * units, how, price)
