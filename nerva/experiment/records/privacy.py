"""What is recorded says nothing of who ran it."""

import getpass
import os
import re
from contextlib import suppress


def private(text: str) -> str:
    """A text without the home folder, the user's name in other paths, and names and passwords in addresses."""
    end = r"(?![\w-]|\.\w)"
    home = os.path.expanduser("~")  # noqa: PTH111 - Path's raises an error where a user has none
    for folder in sorted({home, os.path.realpath(home)} - {"~", "/"}, key=len, reverse=True):
        text = re.sub(re.escape(folder) + end, "~", text)
    with suppress(KeyError, OSError):  # nor a name
        text = re.sub(rf"(?<=/){re.escape(getpass.getuser())}{end}", "…", text)
    # What stands before an @ is a name only without a slash, or a name and a password.
    text = re.sub(r"(?<=://)(?:[^\s'\",\]]*:[^\s'\",\]]*|[^\s'\",\]/]*)@", "", text)
    return re.sub(r"([?&](?:password|passwd|token|key|secret)=)[^&\s'\",\]]*", r"\1…", text, flags=re.IGNORECASE)
