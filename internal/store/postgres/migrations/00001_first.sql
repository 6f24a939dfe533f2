-- +goose Up

-- Columns that lists are sorted by compare bytes, whatever the database's own
-- collation, so that pages are cut alike everywhere.

CREATE TABLE installation (
    singleton BOOLEAN PRIMARY KEY CHECK (singleton),
    id        TEXT NOT NULL
);

CREATE TABLE agents (
    namespace        TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    generation       BIGINT NOT NULL,
    owner            TEXT COLLATE "C" NOT NULL,
    labels           TEXT,
    priority         TEXT NOT NULL,
    min_tier         TEXT NOT NULL,
    manifest_version BIGINT NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    holds            TEXT NOT NULL DEFAULT '',
    active           BIGINT NOT NULL DEFAULT 0,
    waiting          BIGINT NOT NULL DEFAULT 0,
    terminating      BOOLEAN NOT NULL DEFAULT FALSE,
    tier             TEXT NOT NULL DEFAULT '',
    failure          TEXT,
    seq              BIGINT NOT NULL DEFAULT 0,
    started          BOOLEAN NOT NULL DEFAULT FALSE,
    newest           BOOLEAN NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, generation)
);
CREATE UNIQUE INDEX agents_living ON agents (namespace, name) WHERE state <> 'Terminated';
CREATE UNIQUE INDEX agents_newest ON agents (namespace, name) WHERE newest;
CREATE INDEX agents_state ON agents (state, namespace, name, generation, newest);
CREATE INDEX agents_owner ON agents (owner, namespace, name, generation);
CREATE INDEX agents_unstarted ON agents (created_at, namespace, name, generation) WHERE NOT started;

CREATE TABLE agent_labels (
    namespace  TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    label      TEXT NOT NULL,
    content    TEXT NOT NULL,
    PRIMARY KEY (namespace, name, generation, label),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
);

CREATE TABLE manifests (
    namespace  TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    canonical  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, generation, version),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
);

CREATE TABLE transitions (
    namespace  TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    cause      TEXT NOT NULL,
    principal  TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, generation, number),
    FOREIGN KEY (namespace, name, generation) REFERENCES agents
);

CREATE TABLE tasks (
    namespace        TEXT COLLATE "C" NOT NULL,
    task             TEXT COLLATE "C" NOT NULL,
    agent            TEXT COLLATE "C" NOT NULL,
    generation       BIGINT NOT NULL,
    spec             TEXT NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    holds            TEXT NOT NULL DEFAULT '',
    priority         TEXT NOT NULL,
    tier             TEXT NOT NULL DEFAULT '',
    attempt          BIGINT NOT NULL DEFAULT 0,
    node             TEXT COLLATE "C" NOT NULL DEFAULT '',
    lease            TEXT NOT NULL DEFAULT '',
    why              TEXT NOT NULL DEFAULT '',
    risk             TEXT,
    decision         TEXT,
    progress         TEXT,
    progress_attempt BIGINT NOT NULL DEFAULT 0,
    progress_at      BIGINT NOT NULL DEFAULT 0,
    outcome          TEXT,
    seq              BIGINT NOT NULL DEFAULT 0,
    started          BOOLEAN NOT NULL DEFAULT FALSE,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, task),
    FOREIGN KEY (namespace, agent, generation) REFERENCES agents
);
CREATE INDEX tasks_created ON tasks (created_at, namespace, task);
CREATE INDEX tasks_namespace ON tasks (namespace, created_at, task);
CREATE INDEX tasks_agent ON tasks (namespace, agent, generation, created_at, task);
CREATE INDEX tasks_state ON tasks (state, created_at, namespace, task);
CREATE INDEX tasks_namespace_state ON tasks (namespace, state, created_at, task);
CREATE INDEX tasks_node ON tasks (node, created_at, namespace, task) WHERE node <> '';
CREATE INDEX tasks_unstarted ON tasks (created_at, namespace, task) WHERE NOT started;

CREATE TABLE artifacts (
    namespace  TEXT COLLATE "C" NOT NULL,
    task       TEXT COLLATE "C" NOT NULL,
    path       TEXT COLLATE "C" NOT NULL,
    bytes      BIGINT NOT NULL,
    digest     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (namespace, task, path),
    FOREIGN KEY (namespace, task) REFERENCES tasks
);

CREATE TABLE checkpoints (
    namespace TEXT COLLATE "C" NOT NULL,
    task      TEXT COLLATE "C" NOT NULL,
    attempt   INTEGER NOT NULL,
    data      BYTEA NOT NULL,
    PRIMARY KEY (namespace, task),
    FOREIGN KEY (namespace, task) REFERENCES tasks
);

CREATE TABLE failures (
    namespace  TEXT COLLATE "C" NOT NULL,
    agent      TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    task       TEXT COLLATE "C" NOT NULL,
    attempt    BIGINT NOT NULL,
    failure    TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (namespace, agent, generation, task)
);
CREATE INDEX failures_at ON failures (at, namespace, agent, task);

CREATE TABLE idempotency (
    id         TEXT COLLATE "C" PRIMARY KEY,
    body_hash  TEXT NOT NULL,
    namespace  TEXT NOT NULL DEFAULT '',
    name       TEXT NOT NULL DEFAULT '',
    generation BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE leases (
    id           TEXT COLLATE "C" PRIMARY KEY,
    namespace    TEXT NOT NULL,
    agent        TEXT NOT NULL,
    task         TEXT NOT NULL,
    attempt      BIGINT NOT NULL,
    workflow_id  TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    activity_id  TEXT NOT NULL,
    resources    TEXT NOT NULL,
    scratch_mb   BIGINT NOT NULL,
    priority     TEXT NOT NULL,
    class        TEXT NOT NULL,
    tier         TEXT NOT NULL,
    state        TEXT NOT NULL,
    node         TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    granted_at   BIGINT NOT NULL
);
CREATE INDEX leases_open ON leases (requested_at, id) WHERE state <> 'released';

CREATE TABLE leaderships (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE nodes (
    id          TEXT COLLATE "C" PRIMARY KEY,
    address     TEXT NOT NULL,
    version     TEXT NOT NULL,
    memory_mb   BIGINT NOT NULL,
    cpu_cores   DOUBLE PRECISION NOT NULL,
    disk_mb     BIGINT NOT NULL,
    tiers       TEXT NOT NULL,
    problems    TEXT NOT NULL,
    enforcers   TEXT,
    cordoned    BOOLEAN NOT NULL,
    started_at  BIGINT NOT NULL,
    reported_at BIGINT NOT NULL
);

CREATE TABLE events (
    position  BIGINT PRIMARY KEY,
    id        TEXT COLLATE "C" NOT NULL UNIQUE,
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    action    TEXT NOT NULL,
    principal TEXT NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    agent     TEXT COLLATE "C" NOT NULL,
    resource  TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    attempt   TEXT NOT NULL,
    request   TEXT NOT NULL,
    decision  TEXT,
    details   TEXT
);
CREATE INDEX events_agent ON events (namespace, agent, position);
CREATE INDEX events_at ON events (at);

CREATE TABLE event_head (
    singleton     BOOLEAN PRIMARY KEY CHECK (singleton),
    last_position BIGINT NOT NULL
);
INSERT INTO event_head (singleton, last_position) VALUES (TRUE, 0);
