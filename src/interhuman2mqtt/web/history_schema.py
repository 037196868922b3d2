"""The tables of the page's history. Times are seconds of UTC."""

VERSION = 1
SCHEMA = f"""
CREATE TABLE camera (id INTEGER PRIMARY KEY, box TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (box, name));
CREATE TABLE signal (camera INTEGER NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, start REAL NOT NULL, end REAL,
    probability TEXT, rationale TEXT, PRIMARY KEY (camera, key, start)) WITHOUT ROWID;
CREATE INDEX signal_by_start ON signal (camera, start);
CREATE TABLE engagement (camera INTEGER NOT NULL, start REAL NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (camera, start)) WITHOUT ROWID;
CREATE TABLE quality (camera INTEGER NOT NULL, at REAL NOT NULL, quality_index REAL, clarity REAL, authority REAL,
    energy REAL, rapport REAL, learning REAL, PRIMARY KEY (camera, at)) WITHOUT ROWID;
CREATE TABLE gap (camera INTEGER NOT NULL, start REAL NOT NULL, end REAL, reason TEXT NOT NULL,
    PRIMARY KEY (camera, start)) WITHOUT ROWID;
CREATE TABLE status (camera INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL, reason TEXT, detail TEXT,
    PRIMARY KEY (camera, at)) WITHOUT ROWID;
CREATE TABLE received (start REAL PRIMARY KEY, end REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE hole (camera INTEGER NOT NULL, start REAL NOT NULL, end REAL NOT NULL,
    PRIMARY KEY (camera, start)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
ADDED = """
CREATE TABLE IF NOT EXISTS filled (camera INTEGER NOT NULL, start REAL NOT NULL, end REAL NOT NULL,
    PRIMARY KEY (camera, start)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS continuity (camera INTEGER PRIMARY KEY, last TEXT NOT NULL, start REAL, end REAL);
"""
"""Tables that versions before do not know, and do without: they need no other format."""
PRAGMAS = """
PRAGMA secure_delete = ON;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
"""
OF_PEOPLE = ("signal", "engagement", "quality")
"""Tables of a camera that say something of people."""
SPANS = ("signal", "gap", "hole", "filled")
"""Tables of a camera whose rows have a start and an end."""
POINTS = {"engagement": "start", "quality": "at", "status": "at"}
"""Tables of a camera whose rows hold from a moment on, and the name of that."""
