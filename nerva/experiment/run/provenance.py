"""The provenance of a run that starts now: configuration, code, data, and what computes it.

Nothing says who runs it: no user or host, no environment variables, and "~" in place of the home folder.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from nerva.data.prepare import Prepared, read_provenance
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.identify import CODE_SCHEME, Identity
from nerva.experiment.records.privacy import private
from nerva.experiment.records.provenance import CodeOrigin, DataOrigin, PartOf, Provenance
from nerva.experiment.run import repository
from nerva.experiment.run.environment import environment


def collect(config: Config, identity: Identity, overrides: Sequence[str], checksum: str) -> Provenance:
    """The provenance of a run that starts now.

    Args:
        config: the configuration of the run.
        identity: the identity of the run.
        overrides: the overrides that gave the configuration.
        checksum: that of the prepared data.
    """
    data, commit = config.data, repository.commit()
    return Provenance(
        run_id=identity.run_id,
        configuration_id=identity.configuration_id,
        determined_by=identity.determined_by,
        overrides=[private(override) for override in overrides],
        code=CodeOrigin(
            fingerprint=identity.code_fingerprint,
            git_commit=commit,
            dirty=None if commit is None else bool(repository.patch()),
            untracked=[] if commit is None else repository.untracked(),
            scheme=CODE_SCHEME,
        ),
        data=DataOrigin(
            name=data.name,
            title=data.title,
            sha256=checksum,
            source=read_provenance(Prepared.of(data, config.data_dir)).source,
            note=private(data.note),
        ),
        environment=environment(identity.numerics),
        command=private(" ".join([Path(sys.argv[0]).name, shlex.join(sys.argv[1:])])),
        part_of=PartOf(config.title, config.question, config.sweep),
    )
