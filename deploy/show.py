"""The results of deploy, status and destroy as a person reads them."""

from typing import Any

from deploy import prices
from observer.kit.clock import duration
from observer.kit.console import table

_SILENT_S = 1200.0


def show_deploy(result: dict[str, Any]) -> str:
    """The steps and the bill."""
    bill = [
        [line["what"], line["usd"], line["how"], f"{line['price_usd']:g} USD/{line['per']}, {line['as_of']}"]
        if "source" in line
        else [line["what"], "?", line["how"], ""]
        for line in result["bill"]
    ]
    sources = sorted({line["source"] for line in result["bill"] if "source" in line})
    head = "would be done, nothing was changed" if result["dry_run"] else "done"
    return "\n".join(
        [
            f"{head}, in {result['region']}:",
            table([[what, does] for what, does in result["steps"].items()], ["what", "how"]),
            "",
            table(bill, ["a month", "USD", "for", "list price in us-east-1, as of"]),
            f"{result['usd_a_month']:.2f} USD a month, growing with what is stored; other regions differ. Sources:",
            *(f"  {source}" for source in sources),
        ]
    )


def show_status(result: dict[str, Any]) -> str:
    """One line each, and what is wrong."""
    ago = result["published_s_ago"]
    if ago is None:
        published = "nothing yet; the first index comes minutes after the first market has closed"
    else:
        late = "  WRONG: one is due every five minutes" if ago > _SILENT_S else ""
        published = f"newest index {duration(ago)} old{late}"
    lines = [[what, value] for what, value in result.items() if what not in ("disks_left", "published_s_ago")]
    return table([*lines, ["published", published], *_disks(result)], ["what", "now"])


def show_destroy(result: dict[str, Any]) -> str:
    """What is gone and what stays."""
    lines = [[what, value] for what, value in result.items() if what not in ("disks_left", "region")]
    return table([*lines, *_disks(result)], ["what", "now"])


def _disks(result: dict[str, Any]) -> list[list[str]]:
    """What is left of earlier boxes, and how to get rid of it."""
    price = f"{prices.DISK.usd:g} USD/{prices.DISK.unit}"
    delete = f"aws ec2 delete-volume --region {result['region']} --volume-id"
    return [
        ["disk left", f"{disk}, {price}; it may hold what was not uploaded. To delete it: {delete} {disk}"]
        for disk in result["disks_left"]
    ]
