-- +goose Up

-- The tables of PostgreSQL's migration of the same number, in SQLite's types.

CREATE TABLE installation (
    singleton INTEGER PRIMARY KEY CHECK (singleton),
    id        TEXT NOT NULL
) STRICT;

CREATE TABLE agents (
    namespace        TEXT NOT NULL,
    name             TEXT NOT NULL,
    generation       INTEGER NOT NULL,
    owner            TEXT NOT NULL,
    labels           TEXT,
    priority         TEXT NOT NULL,
    min_tier         TEXT NOT NULL,
    manifest_version INTEGER NOT NULL,
    state            TEXT NOT NULL,
    holds            TEXT NOT NULL DEFAULT '',
    active           INTEGER NOT NULL DEFAULT 0,
    waiting          INTEGER NOT NULL DEFAULT 0,
    terminating      INTEGER NOT NULL DEFAULT FALSE,
    tier             TEXT NOT NULL DEFAULT '',
    failure          TEXT,
    seq              INTEGER NOT NULL DEFAULT 0,
    started          INTEGER NOT NULL DEFAULT FALSE,
    newest           INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, generation)
) STRICT;
CREATE UNIQUE INDEX agents_living ON agents (namespace, name) WHERE state <> 'Terminated';
CREATE UNIQUE INDEX agents_newest ON agents (namespace, name) WHERE newest;
CREATE INDEX agents_state ON agents (state, namespace, name, generation, newest);
CREATE INDEX agents_owner ON agents (owner, namespace, name, generation);
CREATE INDEX agents_unstarted ON agents (created_at, namespace, name, generation) WHERE NOT started;

CREATE TABLE agent_labels (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    label      TEXT NOT NULL,
    content    TEXT NOT NULL,
    PRIMARY KEY (namespace, name, generation, label),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
) STRICT;

CREATE TABLE manifests (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    canonical  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, generation, version),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
) STRICT;

CREATE TABLE transitions (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    cause      TEXT NOT NULL,
    principal  TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, generation, number),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
) STRICT;

CREATE TABLE tasks (
    namespace        TEXT NOT NULL,
    task             TEXT NOT NULL,
    agent            TEXT NOT NULL,
    generation       INTEGER NOT NULL,
    spec             TEXT NOT NULL,
    state            TEXT NOT NULL,
    holds            TEXT NOT NULL DEFAULT '',
    priority         TEXT NOT NULL,
    tier             TEXT NOT NULL DEFAULT '',
    attempt          INTEGER NOT NULL DEFAULT 0,
    node             TEXT NOT NULL DEFAULT '',
    lease            TEXT NOT NULL DEFAULT '',
    why              TEXT NOT NULL DEFAULT '',
    risk             TEXT,
    decision         TEXT,
    progress         TEXT,
    progress_attempt INTEGER NOT NULL DEFAULT 0,
    progress_at      INTEGER NOT NULL DEFAULT 0,
    outcome          TEXT,
    seq              INTEGER NOT NULL DEFAULT 0,
    started          INTEGER NOT NULL DEFAULT FALSE,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    ended_at         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, task),
    FOREIGN KEY (namespace, agent, generation) REFERENCES agents
) STRICT;
CREATE INDEX tasks_created ON tasks (created_at, namespace, task);
CREATE INDEX tasks_namespace ON tasks (namespace, created_at, task);
CREATE INDEX tasks_agent ON tasks (namespace, agent, generation, created_at, task);
CREATE INDEX tasks_state ON tasks (state, created_at, namespace, task);
CREATE INDEX tasks_namespace_state ON tasks (namespace, state, created_at, task);
CREATE INDEX tasks_node ON tasks (node, created_at, namespace, task) WHERE node <> '';
CREATE INDEX tasks_unstarted ON tasks (created_at, namespace, task) WHERE NOT started;

CREATE TABLE artifacts (
    namespace  TEXT NOT NULL,
    task       TEXT NOT NULL,
    path       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (namespace, task, path),
    FOREIGN KEY (namespace, task) REFERENCES tasks
) STRICT;

CREATE TABLE checkpoints (
    namespace TEXT NOT NULL,
    task      TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    data      BLOB NOT NULL,
    PRIMARY KEY (namespace, task),
    FOREIGN KEY (namespace, task) REFERENCES tasks
) STRICT;

CREATE TABLE failures (
    namespace  TEXT NOT NULL,
    agent      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    task       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    failure    TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (namespace, agent, generation, task)
) STRICT;
CREATE INDEX failures_at ON failures (at, namespace, agent, task);

CREATE TABLE idempotency (
    id         TEXT PRIMARY KEY,
    body_hash  TEXT NOT NULL,
    namespace  TEXT NOT NULL DEFAULT '',
    name       TEXT NOT NULL DEFAULT '',
    generation INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE leases (
    id           TEXT PRIMARY KEY,
    namespace    TEXT NOT NULL,
    agent        TEXT NOT NULL,
    task         TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    workflow_id  TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    activity_id  TEXT NOT NULL,
    resources    TEXT NOT NULL,
    scratch_mb   INTEGER NOT NULL,
    priority     TEXT NOT NULL,
    class        TEXT NOT NULL,
    tier         TEXT NOT NULL,
    state        TEXT NOT NULL,
    node         TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    granted_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_open ON leases (requested_at, id) WHERE state <> 'released';

CREATE TABLE leaderships (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    id          TEXT PRIMARY KEY,
    address     TEXT NOT NULL,
    version     TEXT NOT NULL,
    memory_mb   INTEGER NOT NULL,
    cpu_cores   REAL NOT NULL,
    disk_mb     INTEGER NOT NULL,
    tiers       TEXT NOT NULL,
    problems    TEXT NOT NULL,
    enforcers   TEXT,
    cordoned    INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    reported_at INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    position  INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    action    TEXT NOT NULL,
    principal TEXT NOT NULL,
    namespace TEXT NOT NULL,
    agent     TEXT NOT NULL,
    resource  TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    attempt   TEXT NOT NULL,
    request   TEXT NOT NULL,
    decision  TEXT,
    details   TEXT
) STRICT;
CREATE INDEX events_agent ON events (namespace, agent, position);
CREATE INDEX events_at ON events (at);

CREATE TABLE event_head (
    singleton     INTEGER PRIMARY KEY CHECK (singleton),
    last_position INTEGER NOT NULL
) STRICT;
INSERT INTO event_head (singleton, last_position) VALUES (TRUE, 0);
