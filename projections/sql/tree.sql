-- The ledger as a Merkle tree (RFC 9162): for each tile of 256 hashes one row, the last of a level
-- partly filled. Level 0 holds the leaves, one per event; a hash of level n + 1 is the root of a full
-- tile of level n. Hashes are only ever added at the right edge.
CREATE TABLE liveops_tree (
    level smallint NOT NULL CHECK (level >= 0),
    tile bigint NOT NULL CHECK (tile >= 0),
    width smallint NOT NULL CHECK (width BETWEEN 1 AND 256),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 32 * width),
    PRIMARY KEY (level, tile)
);

-- Hashes do not compress: to try costs time.
ALTER TABLE liveops_tree ALTER COLUMN hashes SET STORAGE EXTERNAL;

SELECT liveops_protect('liveops_tree');
