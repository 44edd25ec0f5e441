CREATE TABLE proveout_schema (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT proveout_schema_pkc PRIMARY KEY (version_num)
);
CREATE TABLE calls (
	"key" BLOB NOT NULL,
	generation BLOB NOT NULL,
	created DOUBLE NOT NULL,
	CONSTRAINT calls_pkey PRIMARY KEY ("key")
);
CREATE TABLE runs (
	id TEXT NOT NULL,
	change TEXT NOT NULL,
	service TEXT NOT NULL,
	stage TEXT NOT NULL,
	champion TEXT NOT NULL,
	challenger TEXT NOT NULL,
	started DOUBLE NOT NULL,
	finished DOUBLE,
	state TEXT NOT NULL,
	scorecard BLOB,
	CONSTRAINT runs_pkey PRIMARY KEY (id)
);
CREATE INDEX runs_service_id_idx ON runs (service, id);
CREATE TABLE outcomes (
	run TEXT NOT NULL,
	example TEXT NOT NULL,
	repeat INTEGER NOT NULL,
	arm SMALLINT NOT NULL,
	variant TEXT NOT NULL,
	call BLOB,
	scores TEXT NOT NULL,
	answer TEXT NOT NULL,
	failure TEXT,
	CONSTRAINT outcomes_pkey PRIMARY KEY (run, example, repeat, arm)
)
 WITHOUT ROWID;
CREATE TABLE ledger (
	dataset_version TEXT NOT NULL,
	objective TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	service TEXT NOT NULL,
	metric TEXT NOT NULL,
	champion TEXT NOT NULL,
	challenger TEXT NOT NULL,
	evidence TEXT NOT NULL,
	level DOUBLE NOT NULL,
	p_value DOUBLE,
	rejected BOOLEAN,
	run TEXT NOT NULL,
	created DOUBLE NOT NULL,
	CONSTRAINT ledger_pkey PRIMARY KEY (dataset_version, objective, attempt),
	CONSTRAINT ledger_try_key UNIQUE (dataset_version, objective, champion, challenger, evidence)
);
CREATE TABLE events (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	time DOUBLE NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	body TEXT NOT NULL,
	CONSTRAINT events_id_key UNIQUE (id)
);
CREATE INDEX events_subject_position_idx ON events (subject, position);
CREATE TABLE releases (
	environment TEXT NOT NULL,
	service TEXT NOT NULL,
	epoch INTEGER NOT NULL,
	champion TEXT NOT NULL,
	weights TEXT NOT NULL,
	shadow TEXT NOT NULL,
	fallback TEXT NOT NULL,
	change TEXT NOT NULL,
	step TEXT NOT NULL,
	created DOUBLE NOT NULL,
	CONSTRAINT releases_pkey PRIMARY KEY (environment, service, epoch)
);
CREATE TABLE traces (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	service TEXT NOT NULL,
	environment TEXT NOT NULL,
	operation TEXT NOT NULL,
	started DOUBLE NOT NULL,
	epoch INTEGER NOT NULL,
	step TEXT NOT NULL,
	chosen TEXT NOT NULL,
	propensity DOUBLE NOT NULL,
	variant TEXT NOT NULL,
	variant_name TEXT NOT NULL,
	unit TEXT,
	status SMALLINT NOT NULL,
	error TEXT,
	finish TEXT,
	streamed BOOLEAN NOT NULL,
	e2e DOUBLE NOT NULL,
	ttft DOUBLE,
	stall DOUBLE,
	reads INTEGER NOT NULL,
	input_tokens INTEGER,
	output_tokens INTEGER,
	cached_tokens INTEGER,
	cost_usd DOUBLE,
	attempts SMALLINT NOT NULL,
	cached BOOLEAN NOT NULL,
	valid BOOLEAN,
	refused BOOLEAN,
	shadow_of TEXT,
	parent TEXT,
	client TEXT, guards TEXT,
	CONSTRAINT traces_id_key UNIQUE (id)
);
CREATE INDEX traces_service_started_idx ON traces (service, started);
CREATE TABLE trace_contents (
	trace TEXT NOT NULL,
	request TEXT NOT NULL,
	answer TEXT NOT NULL,
	CONSTRAINT trace_contents_pkey PRIMARY KEY (trace)
);
CREATE TABLE feedback (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	trace TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	score DOUBLE,
	comment TEXT,
	created DOUBLE NOT NULL,
	CONSTRAINT feedback_id_key UNIQUE (id)
);
CREATE INDEX feedback_trace_idx ON feedback (trace);
CREATE TABLE rollouts (
	id TEXT NOT NULL,
	environment TEXT NOT NULL,
	service TEXT NOT NULL,
	change TEXT NOT NULL,
	status TEXT NOT NULL,
	version INTEGER NOT NULL,
	started DOUBLE NOT NULL,
	updated DOUBLE NOT NULL,
	entry TEXT NOT NULL,
	body TEXT NOT NULL,
	CONSTRAINT rollouts_pkey PRIMARY KEY (id)
);
CREATE INDEX rollouts_environment_service_id_idx ON rollouts (environment, service, id);
CREATE TABLE audit (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	time DOUBLE NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	subject TEXT NOT NULL,
	body TEXT NOT NULL,
	hash TEXT NOT NULL,
	CONSTRAINT audit_hash_key UNIQUE (hash)
);
CREATE INDEX audit_subject_position_idx ON audit (subject, position);
CREATE TABLE leases (
	name TEXT NOT NULL,
	owner TEXT NOT NULL,
	until DOUBLE NOT NULL,
	CONSTRAINT leases_pkey PRIMARY KEY (name)
);
CREATE TABLE errands (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	body TEXT NOT NULL,
	created DOUBLE NOT NULL,
	due DOUBLE NOT NULL,
	attempts INTEGER NOT NULL,
	done DOUBLE,
	result TEXT NOT NULL,
	CONSTRAINT errands_pkey PRIMARY KEY (id)
);
CREATE INDEX errands_done_due_idx ON errands (done, due);
CREATE TABLE incidents (
	id TEXT NOT NULL,
	environment TEXT NOT NULL,
	service TEXT NOT NULL,
	variant TEXT NOT NULL,
	reason TEXT NOT NULL,
	evidence TEXT NOT NULL,
	opened DOUBLE NOT NULL,
	closed DOUBLE,
	CONSTRAINT incidents_pkey PRIMARY KEY (id)
);
CREATE INDEX incidents_service_opened_idx ON incidents (service, opened);
CREATE TABLE failures (
	trace TEXT NOT NULL,
	signal TEXT NOT NULL,
	service TEXT NOT NULL,
	variant TEXT NOT NULL,
	incident TEXT NOT NULL,
	created DOUBLE NOT NULL,
	CONSTRAINT failures_pkey PRIMARY KEY (trace, signal)
);
CREATE INDEX failures_service_created_idx ON failures (service, created);
INSERT INTO proveout_schema VALUES ('0004');
