"""Keeping personal data out of records."""

import getpass
import os
import re
from contextlib import suppress


def private(text: str) -> str:
    """A text without the home folder, the user's name in paths, the folder of data, and credentials in URLs."""
    text = re.sub(r"""(data\.path=['"]?)(?=[/~]|(?:[^'"= ]*/)?\.\./)[^'"=]*/""", r"\1", text)
    end = r"(?![\w-]|\.\w)"
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises an error if the user has none
    for folder in sorted({home, os.path.realpath(home)} - {"~", "/"}, key=len, reverse=True):
        text = re.sub(re.escape(folder) + end, "~", text)
    with suppress(KeyError, OSError):  # a user may have no name either
        text = re.sub(rf"(?<=/){re.escape(getpass.getuser())}{end}", "…", text)
    return without_credentials(text)


def without_credentials(text: str) -> str:
    """A text without the names and passwords in its URLs."""
    # Credentials stand before an @: either a name without a slash, or a name and a password.
    text = re.sub(r"(?<=://)(?:[^\s'\",\]]*:[^\s'\",\]]*|[^\s'\",\]/]*)@", "", text)
    return re.sub(r"([?&](?:password|passwd|token|key|secret)=)[^&\s'\",\]]*", r"\1…", text, flags=re.IGNORECASE)
