-- Every version of every thing that resolution rests on, with the events between which it held:
-- from `begins` on until just before `ends`. The things are those of the compacted topic, and `body`
-- their bytes. What held right after an event is one look into the index, whatever the ledger's length.
CREATE TABLE liveops_timeline (
    thing text NOT NULL,
    part text NOT NULL,
    begins bigint NOT NULL,
    ends bigint CHECK (ends > begins),
    begun_at timestamptz NOT NULL,
    ended_at timestamptz,
    levers text[] NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (thing, begins)
);

CREATE UNIQUE INDEX liveops_timeline_open ON liveops_timeline (thing) WHERE ends IS NULL;
CREATE INDEX liveops_timeline_part ON liveops_timeline (part) WHERE ends IS NULL;

-- What held at a position is asked for by part, and for all parts. A B-tree knows where a span begins
-- or where it ends, and would read all that went before; so each is an upright line in a plane, at
-- the hash of its part and from its first to its last position, and the index is one of the plane.
CREATE INDEX liveops_timeline_held ON liveops_timeline USING gist (
    box(point(hashtext(part), begins),
        point(hashtext(part), coalesce(ends, 9007199254740992) - 1))
);

SELECT liveops_protect('liveops_timeline');
