"""Indexes: whole or not believed, in order whatever the clock says, and never hiding another recording."""

import hashlib
import time

import pytest

from observer.kit.errors import BadRecording
from observer.s3.address import content_key
from observer.s3.bucket import Bucket
from observer.s3.courier import Courier
from observer.s3.errors import OtherRecording
from observer.s3.layout import Entry
from observer.s3.probe import Abilities
from observer.s3.published import Published, find_newest, read_list
from observer.s3.publisher import Publisher

HOUR = "venue=v/date=2026-07-01/hour=04"
TICKS = Entry(f"ticks/{HOUR}/part-0.parquet", "1" * 64, 10)
MANIFEST = Entry(f"ticks/{HOUR}/manifest.json", "2" * 64, 10)
OTHER = Entry(f"ticks/{HOUR}/part-9.parquet", "3" * 64, 10)
RAW = Entry(f"raw/{HOUR}/1-a.zst", "4" * 64, 10)
RAW_LATER = Entry("raw/venue=v/date=2026-07-02/hour=00/2-b.zst", "5" * 64, 10)


def publisher_to(bucket: Bucket) -> Publisher:
    return Publisher(Courier(bucket, Abilities("honoured", "unchecked", False)))


def publish(publisher: Publisher, *entries: Entry, damaged: dict[str, tuple[str, str]] | None = None) -> Published:
    return publisher.publish({e.path: e for e in entries}, {"dataset.json": {"dataset_id": "x"}}, damaged or {})


def listed(bucket: Bucket) -> set[Entry]:
    published, _ = find_newest(bucket)
    assert published is not None
    return {entry for group, entries in published.lists.items() for entry in read_list(bucket, group, entries)}


def test_an_empty_bucket_has_no_index(bucket: Bucket) -> None:
    assert find_newest(bucket) == (None, 0)


def test_what_is_published_is_found(bucket: Bucket) -> None:
    made = publish(publisher_to(bucket), TICKS, MANIFEST, RAW)

    assert find_newest(bucket) == (made, made.ns)
    assert listed(bucket) == {TICKS, MANIFEST, RAW}


def test_publishing_the_same_again_writes_nothing(bucket: Bucket) -> None:
    publisher = publisher_to(bucket)
    first = publish(publisher, TICKS, MANIFEST)
    names = bucket.names("index"), bucket.names("lists")

    again = publish(publisher, TICKS, MANIFEST)
    after_a_restart = publish(publisher_to(bucket), TICKS, MANIFEST)

    assert first == again == after_a_restart
    assert (bucket.names("index"), bucket.names("lists")) == names


def test_a_later_index_sorts_last_though_the_clock_was_set_back(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publisher_to(bucket)
    now_ns = time.time_ns()
    publish(publisher, TICKS)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - 3600 * 10**9)

    second = publish(publisher, TICKS, MANIFEST)
    third = publish(publisher_to(bucket), TICKS, MANIFEST, RAW)

    assert second.ns > now_ns
    assert third.ns > second.ns
    assert listed(bucket) == {TICKS, MANIFEST, RAW}


def test_an_index_of_long_ago_is_still_found(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - 400 * 86_400 * 10**9)
    publish(publisher_to(bucket), TICKS)
    monkeypatch.undo()

    assert listed(bucket) == {TICKS}


def test_an_index_that_is_not_what_its_name_says_is_passed_over(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    made = publish(publisher_to(bucket), TICKS)
    bucket.put(f"index/{made.ns + 1:020d}-{'0' * 16}.json", b"half an ind", "", only_new=True)

    found, last_ns = find_newest(bucket)

    assert found == made
    assert last_ns == made.ns + 1
    assert "the one before it is used" in capsys.readouterr().err


def test_indexes_that_cannot_be_read_at_all_are_an_error(bucket: Bucket) -> None:
    bucket.put(f"index/{1:020d}-{'0' * 16}.json", b"{}", "", only_new=True)

    with pytest.raises(BadRecording, match="none of 1 indexes can be read"):
        find_newest(bucket)


def test_what_another_version_published_is_refused_and_named(bucket: Bucket) -> None:
    strange = b'{"format":"mlx-rl-bucket/1","heads":{},"damaged":{}}'
    name = f"{time.time_ns():020d}-{hashlib.sha256(strange).hexdigest()[:16]}.json"
    bucket.put(f"index/{name}", strange, "", only_new=True)
    with pytest.raises(BadRecording, match=f"{name} was written by another version .*Update this one"):
        find_newest(bucket)

    files = b'{"format":"mlx-rl-bucket/1","files":{"raw/a.zst":7}}'
    entry = Entry("lists/days.json", hashlib.sha256(files).hexdigest(), len(files))
    bucket.put(content_key(entry.path, entry.sha256), files, "", only_new=True)
    with pytest.raises(BadRecording, match="the list of days cannot be read"):
        read_list(bucket, "days", entry)


def test_a_list_that_was_exchanged_is_refused(bucket: Bucket) -> None:
    made = publish(publisher_to(bucket), TICKS)
    group, entry = next(iter(made.lists.items()))
    name = bucket.names("lists")[0]
    bucket.put(f"lists/{name}", b'{"files":{},"format":"mlx-rl-bucket/1"}', "", only_new=False)

    with pytest.raises(BadRecording, match=r"lists/recording-2026-07-01-\w+.json is not what the index names"):
        read_list(bucket, group, entry)


def test_another_recording_is_not_hidden(bucket: Bucket) -> None:
    publish(publisher_to(bucket), TICKS, MANIFEST)

    with pytest.raises(OtherRecording, match=r"holds another recording: 1 of its files.*part-0.*mlx-rl sync"):
        publish(publisher_to(bucket), OTHER, MANIFEST)

    assert listed(bucket) == {TICKS, MANIFEST}


def test_a_fresh_folder_does_not_hide_what_was_recorded_before(bucket: Bucket) -> None:
    publish(publisher_to(bucket), TICKS, MANIFEST)

    with pytest.raises(OtherRecording):
        publisher_to(bucket).publish({RAW.path: RAW}, {}, {})

    assert listed(bucket) == {TICKS, MANIFEST}


def test_of_two_uploaders_that_raced_the_hidden_one_notices(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = publisher_to(bucket), publisher_to(bucket)
    publish(ours, TICKS)
    with monkeypatch.context() as raced:
        raced.setattr(theirs, "learn", lambda: None)  # it looked just before ours was there
        publish(theirs, OTHER)

    with pytest.raises(OtherRecording, match="part-9"):
        publish(ours, TICKS, MANIFEST)


def test_a_copy_that_went_on_is_a_later_state(bucket: Bucket) -> None:
    publish(publisher_to(bucket), TICKS, MANIFEST)

    publish(publisher_to(bucket), TICKS, OTHER, Entry(MANIFEST.path, "9" * 64, 11))

    assert listed(bucket) == {TICKS, OTHER, Entry(MANIFEST.path, "9" * 64, 11)}


def test_archives_that_were_freed_here_stay_published(bucket: Bucket) -> None:
    publish(publisher_to(bucket), TICKS, RAW)

    publish(publisher_to(bucket), TICKS, RAW_LATER)

    assert listed(bucket) == {TICKS, RAW, RAW_LATER}


def test_a_damaged_manifest_does_not_take_its_partition_out(bucket: Bucket) -> None:
    publisher = publisher_to(bucket)
    publish(publisher, TICKS, MANIFEST)

    made = publish(publisher, RAW, damaged={MANIFEST.path: (MANIFEST.sha256, "is not the one that was listed")})

    assert listed(bucket) == {TICKS, MANIFEST, RAW}
    assert made.damaged == {}  # the bucket holds it as it was


def test_what_was_never_whole_is_published_as_damaged(bucket: Bucket) -> None:
    made = publish(publisher_to(bucket), MANIFEST, damaged={TICKS.path: (TICKS.sha256, "is not as listed")})

    assert made.damaged == {TICKS.path: (TICKS.sha256, "is not as listed")}
    assert find_newest(bucket)[0] == made
