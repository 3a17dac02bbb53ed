"""Tables of the journal, as a list of migrations. Append only: a released migration never changes."""

from __future__ import annotations

MIGRATIONS = [
    """
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, run TEXT, host TEXT, phase TEXT,
        source TEXT NOT NULL, kind TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL);
    CREATE INDEX events_host ON events (host, seq);
    CREATE INDEX events_kind ON events (kind, host, seq);
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, action TEXT NOT NULL, started REAL NOT NULL, ended REAL, exit INTEGER,
        owner TEXT NOT NULL, plan TEXT NOT NULL);
    CREATE TABLE leases (
        name TEXT PRIMARY KEY, owner TEXT NOT NULL, run TEXT, taken REAL NOT NULL, expires REAL NOT NULL);
    CREATE TABLE records (host TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (host, key)) WITHOUT ROWID;
    CREATE TABLE grants (
        id TEXT PRIMARY KEY, host TEXT NOT NULL, attempt INTEGER NOT NULL, body TEXT NOT NULL,
        opened REAL NOT NULL, expires REAL NOT NULL,
        claimed REAL, token_sha256 TEXT, ended REAL, outcome TEXT);
    CREATE UNIQUE INDEX grants_one_open ON grants (host) WHERE ended IS NULL;
    """,
    "CREATE INDEX grants_host ON grants (host, attempt);",
    """
    CREATE TABLE seals (
        id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, at REAL NOT NULL, digest TEXT NOT NULL,
        signature TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX seals_host ON seals (host, id);
    CREATE TABLE drift (
        "where" TEXT NOT NULL, key TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL, gone REAL,
        body TEXT NOT NULL, PRIMARY KEY ("where", key, first)) WITHOUT ROWID;
    CREATE INDEX drift_open ON drift ("where", key) WHERE gone IS NULL;
    CREATE TABLE drift_standing ("where" TEXT PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE drift_runs (
        id TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL NOT NULL, hosts INTEGER NOT NULL,
        unknown INTEGER NOT NULL, counts TEXT NOT NULL);
    """,
    "ALTER TABLE seals ADD COLUMN schema INTEGER NOT NULL DEFAULT 1;",
    "ALTER TABLE seals ADD COLUMN counter INTEGER NOT NULL DEFAULT 0;",
    # Who claimed a grant: its address, what it said of itself, and what it was answered.
    """
    ALTER TABLE grants ADD COLUMN client TEXT;
    ALTER TABLE grants ADD COLUMN claim TEXT;
    ALTER TABLE grants ADD COLUMN spec TEXT;
    """,
    "ALTER TABLE seals ADD COLUMN installation TEXT NOT NULL DEFAULT '';",
    # Standard names: a seal is a signed baseline, phases and events are called by what they do.
    """
    ALTER TABLE seals RENAME TO baselines;
    UPDATE events SET phase = 'admission_policies' WHERE phase = 'guarded';
    UPDATE events SET phase = 'drift_repair' WHERE phase = 'restored';
    UPDATE events SET phase = 'baseline' WHERE phase = 'sealed';
    UPDATE events SET kind = 'drift.scanned' WHERE kind = 'drift.looked';
    UPDATE events SET kind = 'drift.repaired' WHERE kind = 'drift.restored';
    UPDATE events SET kind = 'host.baseline_signed' WHERE kind = 'host.sealed';
    UPDATE events SET kind = 'cluster.policies_applied' WHERE kind = 'cluster.guarded';
    UPDATE records SET key = 'drift_repair' WHERE key = 'restored';
    """,
    # Fencing number of the run lock, one higher with each lock: tells a run that lost its lock from the present one.
    "ALTER TABLE leases ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;",
    "UPDATE events SET kind = 'baseline.forged' WHERE kind = 'seal.forged';",
]
