-- Schema version 2 with a row or two in each table: frozen, as enmctl of that version left it.
PRAGMA application_id = 1701735729;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        application_id INTEGER NOT NULL,
        local_id TEXT NOT NULL,
        uuid TEXT,
        "commit" TEXT,
        started_at REAL NOT NULL,
        ended_at REAL,
        outcome TEXT NOT NULL DEFAULT 'running',
        proof TEXT,
        reason TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        sent INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL DEFAULT 0
    );
INSERT INTO "attempts" VALUES(1,'update',7,'1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','c1',100.5,110.5,'succeeded','return-alone','','',1000,1000);
INSERT INTO "attempts" VALUES(2,'flash',0,'9',NULL,NULL,120.5,NULL,'running',NULL,'','',0,5);
CREATE TABLE devices (
        uuid TEXT NOT NULL PRIMARY KEY CHECK (uuid <> ''),
        application_id INTEGER NOT NULL,
        board_type TEXT NOT NULL,
        local_id TEXT,
        name TEXT NOT NULL DEFAULT '',
        "commit" TEXT,
        target_commit TEXT,
        config TEXT CHECK (config IS NULL OR json_valid(config)),
        target_config TEXT CHECK (target_config IS NULL OR json_valid(target_config)),
        environment TEXT CHECK (environment IS NULL OR json_valid(environment)),
        target_environment TEXT CHECK (target_environment IS NULL OR json_valid(target_environment)),
        restart_wanted INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0,
        unlisted INTEGER NOT NULL DEFAULT 0,
        held_target TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        failed_target TEXT,
        failed_permanently INTEGER NOT NULL DEFAULT 0,
        failed_at REAL,
        retry_at REAL,
        first_listed INTEGER
    , commit_at REAL, good_commit TEXT, pinned_commit TEXT, pinned_target TEXT, pinned_by TEXT);
INSERT INTO "devices" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',7,'esp8266','1','lamp','c1','c2','{"A":"1"}','{"A":"2"}','{}','{"E":"\u00fc"}',1,0,0,'c1',2,'c2',1,10.5,20.5,4,110.5,'c0','c0','c2','policy');
INSERT INTO "devices" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',7,'esp8266','2','gone',NULL,NULL,NULL,NULL,NULL,NULL,0,1,1,NULL,0,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "devices" VALUES('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',8,'esp8266',NULL,'',NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,0,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        uuid TEXT NOT NULL,
        level TEXT NOT NULL,
        message TEXT NOT NULL
    );
INSERT INTO "events" VALUES(1,100.5,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','info','began');
CREATE TABLE locks (id TEXT NOT NULL PRIMARY KEY);
INSERT INTO "locks" VALUES('lock-1');
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('pause','Paused');
CREATE TABLE pending (
        application_id INTEGER NOT NULL,
        local_id TEXT NOT NULL,
        board_type TEXT NOT NULL,
        list_serial INTEGER NOT NULL,
        asked_at REAL NOT NULL,
        asked INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (application_id, local_id)
    );
INSERT INTO "pending" VALUES(7,'3','esp8266',4,30.5,1);
CREATE TABLE stages (
        attempt_id INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (attempt_id, stage)
    );
INSERT INTO "stages" VALUES(1,'transferring',0.5);
CREATE UNIQUE INDEX devices_board ON devices (application_id, local_id)
    WHERE local_id IS NOT NULL AND deleted = 0
    ;
CREATE INDEX attempts_of_device ON attempts (uuid, id);
CREATE INDEX attempts_of_board ON attempts (local_id, id);
CREATE INDEX attempts_running ON attempts (id) WHERE outcome = 'running';
CREATE INDEX events_of_device ON events (uuid, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('attempts',2);
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
