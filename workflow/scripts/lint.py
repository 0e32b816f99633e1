"""Run `snakemake --lint`. Fail if it suggests anything that is not declined below."""

import subprocess
import sys

# Suggestions that this workflow does not follow, and why.
DECLINED = {
    "Specify a conda environment or container for each rule.": (
        "all rules run in the same environment, which requirements.lock defines with hashes"
    ),
    'Absolute path "/proc/sys/kernel/random/boot_id"': "it is Linux's name for the id of the current boot",
}


def reason(suggestion: str) -> str | None:
    """Why a suggestion is declined; None if it is not."""
    return next((why for start, why in DECLINED.items() if suggestion.startswith(start)), None)


result = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True, check=False)
output = result.stdout + result.stderr
suggestions = [
    line.removeprefix("    * ").removesuffix(":") for line in output.splitlines() if line.startswith("    * ")
]
if result.returncode != 0 and not (suggestions and all(map(reason, suggestions))):
    sys.exit(output)
for suggestion in sorted(set(suggestions)):
    print(f"snakemake --lint: '{suggestion}' is declined: {reason(suggestion)}")
