"""What validation finds: findings, their rules, and the whole of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from gpuzarr.repairs import REPAIRS

__all__ = ["RULES", "SEVERITIES", "Finding", "Rule", "Severity", "Validation", "rule_of"]

Severity = Literal["invalid", "repaired", "unusual"]

SEVERITIES: tuple[Severity, ...] = ("invalid", "repaired", "unusual")


class Rule(NamedTuple):
    """How bad it is, and what is meant."""

    severity: Severity
    text: str


RULES = {
    "chunk": Rule("invalid", "a chunk that can't be decoded, or is of the wrong size"),
    "document": Rule("invalid", "a member of a document is not what the specification allows"),
    "json": Rule("invalid", "a document is not one JSON object, or is too large or too deep"),
    "missing-group": Rule("invalid", "format 2: a node is under a path that is no group"),
    "node-in-array": Rule("invalid", "a node under an array: arrays have no members"),
    "node-name": Rule("invalid", "a name that Zarr reserves"),
    "other-chunk-keys": Rule("invalid", "keys spell chunks of the array in another way than its document says"),
    "shard-index": Rule("invalid", "a shard's index can't be read, or places a chunk outside the shard"),
    "stale-consolidated": Rule("invalid", "consolidated metadata is not what the members' own documents say"),
    "store": Rule("invalid", "the store does not give a value"),
    "two-kinds": Rule("invalid", "format 2: an array and a group at one path"),
    "unknown-codec": Rule("invalid", "a codec that nothing is known of"),
    "unsupported": Rule("invalid", "legal, but gpuzarr does not read it"),
    "consolidated-form": Rule("unusual", "consolidated metadata that not every reader takes for it"),
    "few-readers": Rule("unusual", "registered, but not every other reader has it"),
    "implicit-group": Rule("unusual", "format 3: a node under a path that is no group, as before version 3.1"),
    "mixed-formats": Rule("unusual", "a node of another format than the group above it, which does not list it"),
    "must-understand": Rule("unusual", "`must_understand` of a codec, about which readers differ"),
    "no-root": Rule("unusual", "there is no node here, but there are nodes below"),
    "odd-name": Rule("unusual", "a name of other characters than A-Z a-z 0-9 - _ ."),
    "one-byte-order": Rule("unusual", "format 2: a byte order of elements that have none"),
    "outside-grid": Rule("unusual", "a chunk that lies outside the array"),
    "pickle": Rule("unusual", "pickled objects, which run code when they are read"),
    "repeated-member": Rule("unusual", "attributes have a name twice; the last one counts"),
    "repeated-names": Rule("unusual", "two dimensions have one name"),
    "shard-gap": Rule("unusual", "bytes of a shard that belong to nothing"),
    "shard-overlap": Rule("unusual", "chunks of a shard, or its index, that share bytes"),
    "short-name": Rule("unusual", "a name where most readers want an object with a name"),
    "stray": Rule("unusual", "a value that belongs to no node"),
    "trailing-bytes": Rule("unusual", "bytes after the end of a chunk, which decoders leave alone"),
    "two-formats": Rule("unusual", "documents of both formats at one path; format 3 counts"),
    "unknown-member": Rule("unusual", "a member that readers leave out"),
    "unregistered": Rule("unusual", "a name that is not registered with zarr-extensions"),
    "zstd-checksum": Rule("unusual", "zstd that does not say whether it has checksums"),
}  # fmt: skip
"""Rules by their names; the repairs of `gpuzarr.repairs` are rules too."""


def rule_of(name: str) -> Rule:
    """The rule of a name.

    >>> rule_of("stray").severity, rule_of("bool-number").severity
    ('unusual', 'repaired')
    """
    if name in REPAIRS:
        found = REPAIRS[name]
        return Rule("repaired", f"{found.fault} (read as {found.reading})")
    return RULES[name]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    `path` is the node's within the store ("" is the root), `key` the value's that it was found in. Where they apply:
    `field` is the member of the document, `chunk` the coordinates of a chunk in its grid, `codec` what could not
    decode it.
    """

    rule: str
    path: str
    key: str
    reason: str
    field: str | None = None
    chunk: tuple[int, ...] | None = None
    codec: str | None = None

    @property
    def severity(self) -> Severity:
        """ "invalid", "repaired" or "unusual"."""
        return rule_of(self.rule).severity

    def to_dict(self) -> dict[str, Any]:
        """The same, as JSON has it; every member is always there."""
        return {
            "severity": self.severity,
            "rule": self.rule,
            "path": self.path,
            "key": self.key,
            "field": self.field,
            "chunk": None if self.chunk is None else list(self.chunk),
            "codec": self.codec,
            "reason": self.reason,
        }


@dataclass(slots=True)
class Validation:
    """What there is, and everything that was found in it, by path.

    `chunks` counts the chunks that were decoded (inner ones, where there are shards); None where none were to be.
    """

    store: str
    path: str
    arrays: int = 0
    groups: int = 0
    chunks: int | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether nothing is invalid."""
        return not self.counts["invalid"]

    @property
    def counts(self) -> dict[Severity, int]:
        """Findings of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    def to_dict(self) -> dict[str, Any]:
        """The same, as JSON has it."""
        return {
            "version": 1,
            "store": self.store,
            "path": self.path,
            "valid": self.valid,
            "arrays": self.arrays,
            "groups": self.groups,
            "chunks": self.chunks,
            "counts": dict(self.counts),
            "findings": [finding.to_dict() for finding in self.findings],
        }
