"""Why a backup is not restored. Nothing was changed then."""

from __future__ import annotations

from storage.errors import StateError


class BackupDamagedError(StateError):
    """The file is no backup, or not as it was written."""

    code = "backup-damaged"
    public = (
        "This file is no backup, or was cut short or changed since it was written. Use another."
    )


class BackupNewerError(StateError):
    """The backup has a form or a schema that is not known here."""

    code = "backup-newer"
    public = "The backup was written by a newer release. Install that release, and use it there."


class BackupKeyError(StateError):
    """What is sealed in the backup cannot be opened with the master key of this gateway."""

    code = "backup-other-key"
    public = (
        "What is sealed in the backup needs the master key of the gateway that it was made of. Put "
        "that key in the place of this gateway's, and restore again."
    )


class StateNotEmptyError(StateError):
    """The database holds a state already."""

    code = "state-not-empty"
    public = (
        "The database holds a state already. Restore into a new one, or with --replace to lose "
        "what is there."
    )


class StateInUseError(StateError):
    """Other processes have the database open."""

    code = "state-in-use"
    public = "The database is in use. Stop every gateway on it, and restore again."
