"""Runs `snakemake --lint`, and fails for any of its suggestions but those below."""

import subprocess
import sys

# Suggestions that this workflow does not follow, and why.
DECLINED = {
    "Specify a conda environment or container for each rule.": (
        "all rules run in the one environment that requirements.lock defines, hashes and all"
    ),
}

result = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True, check=False)
output = result.stdout + result.stderr
suggestions = [
    line.removeprefix("    * ").removesuffix(":") for line in output.splitlines() if line.startswith("    * ")
]
if result.returncode != 0 and (not suggestions or set(suggestions) - set(DECLINED)):
    sys.exit(output)
for suggestion in sorted(set(suggestions)):
    print(f"snakemake --lint: declined «{suggestion}»: {DECLINED[suggestion]}")
