"""Who changed which record: entries written by the session itself, in the transaction that changes the rows.

A table whose changes are told declares `__audited__`. While an author is at work (`authored`), each of its rows that
a transaction writes leaves one entry; without one, as in the worker, nothing is written. Nothing else makes entries,
and none is ever changed, but for the name of an actor who is forgotten (`models.anonymizing`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import Index, event, inspect
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import Field, Session, SQLModel

from billing.instants import written
from logs import MASK, scrub
from models.base import DOCUMENT, UTCDateTime, new_id

# Written along with every change, by lease, or counted beside it: no news in themselves.
_NO_NEWS = frozenset(("id", "version", "created_at", "updated_at", "due_at", "leased_until", "fence", "tries"))


@dataclass(frozen=True, slots=True)
class Audited:
    """How changes of a table's rows are told.

    `told`: the only columns whose values are kept; of all others only that they changed, so that a new one is not
    told by oversight. `masked` is the opposite, for tables that hold nothing about persons. `unseen` columns are left
    out. `subject` is the column with the id of the record that a row belongs to; `when` says which rows count.
    """

    told: frozenset[str] | None = None
    masked: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    subject: str = "id"
    when: Callable[[Any], bool] | None = None

    def keeps(self, column: str) -> bool:
        return column not in self.masked and (self.told is None or column in self.told)


@dataclass(frozen=True, slots=True)
class Author:
    """Who is at work: a user's or a key's id, in which role, by which operation, in which request, since when.

    `at` is machine time. Someone at the command line has neither role nor request.
    """

    actor: str
    role: str | None
    action: str
    request_id: str | None
    at: datetime


class AuditEntry(SQLModel, table=True):
    """One record changed by one transaction. `before` and `after` hold the changed columns, by their names.

    `before` None: the record is new; `after` None: it is gone. `kind` is the record's table.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at_id", "at", "id"),
        Index("ix_audit_entries_subject_id_at_id", "subject_id", "at", "id"),
        Index("ix_audit_entries_actor_at_id", "actor", "at", "id"),
    )

    id: str = Field(primary_key=True, max_length=40)
    at: datetime = Field(sa_type=UTCDateTime)
    actor: str = Field(max_length=300)
    actor_role: str | None = Field(default=None, max_length=20)
    action: str = Field(max_length=100)
    kind: str = Field(max_length=40)
    subject_id: str = Field(max_length=40)
    before: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)
    after: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)
    request_id: str | None = Field(default=None, max_length=64)


class WatchedSession(Session):
    """A session that writes the entries of what its author changes."""


_author: ContextVar[Author | None] = ContextVar("author", default=None)


@contextmanager
def authored(author: Author | None) -> Iterator[None]:
    """What is written in the block, and in tasks begun there, is this author's; None: nobody's."""
    token = _author.set(author)
    try:
        yield
    finally:
        _author.reset(token)


@dataclass(slots=True)
class _Touched:
    """A row that the transaction has written, with what its changed columns held at first."""

    row: SQLModel
    is_new: bool = False
    is_gone: bool = False
    before: dict[str, Any] = field(default_factory=dict)


_TOUCHED = "audited"


@event.listens_for(WatchedSession, "before_flush")
def _note(session: OrmSession, _context: object, _instances: object) -> None:
    """What is about to be written is remembered; told at the commit, when it is what it will stay."""
    changed = [*session.dirty, *session.deleted]
    if any(isinstance(row, AuditEntry) for row in changed):
        raise TypeError("entries of the audit log are never changed")
    if _author.get() is None:
        return
    touched: dict[int, _Touched] = session.info.setdefault(_TOUCHED, {})
    for row in (*session.new, *changed):
        audited = audited_as(type(row))
        if audited is None or (audited.when is not None and not audited.when(row)):
            continue
        seen = touched.setdefault(id(row), _Touched(row, is_new=row in session.new))
        seen.is_gone = seen.is_gone or row in session.deleted
        if not seen.is_new:
            for column, value in _held_before(row).items():
                seen.before.setdefault(column, value)


@event.listens_for(WatchedSession, "before_commit")
def _tell(session: OrmSession) -> None:
    author = _author.get()
    if author is None:
        return
    session.flush()
    for seen in session.info.pop(_TOUCHED, {}).values():
        entry = _entry(author, seen)
        if entry is not None:
            session.add(entry)


def audited_as(row_class: type[Any]) -> Audited | None:
    """How changes of its rows are told; None: not at all."""
    return getattr(row_class, "__audited__", None)


def _held_before(row: object) -> dict[str, Any]:
    """Column → the value that the database still has, of those that are about to change."""
    state: Any = inspect(row)
    changes = {name: state.attrs[name].history for name in state.mapper.column_attrs.keys()}  # noqa: SIM118 (no mapping)
    return {name: change.deleted[0] for name, change in changes.items() if change.has_changes() and change.deleted}


def _entry(author: Author, seen: _Touched) -> AuditEntry | None:
    if seen.is_new and seen.is_gone:
        return None
    state: Any = inspect(seen.row)
    now = {name: state.dict.get(name) for name in state.mapper.column_attrs.keys()}  # noqa: SIM118 (no mapping)
    before = {**now, **seen.before} if seen.is_gone else seen.before
    audited = audited_as(type(seen.row)) or Audited()
    hidden = _NO_NEWS | audited.unseen
    names = [name for name in (now if seen.is_new or seen.is_gone else before) if name not in hidden]
    if not seen.is_new and not seen.is_gone:
        names = [name for name in names if before[name] != now[name]]
        if not names:
            return None
    return AuditEntry(
        id=new_id("audit_entry"),
        at=author.at,
        actor=author.actor,
        actor_role=author.role,
        action=author.action,
        kind=str(state.mapper.local_table.name),
        subject_id=str(now[audited.subject]),
        before=None if seen.is_new else _shown(audited, names, before),
        after=None if seen.is_gone else _shown(audited, names, now),
        request_id=author.request_id,
    )


def _shown(audited: Audited, names: list[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are kept. What is empty is told as that, also where values are not."""
    return {name: _plain(values[name]) if audited.keeps(name) or values[name] is None else MASK for name in names}


def _plain(value: Any) -> Any:
    """A column's value as JSON, secrets and persons masked by their shape as in logs; enums as GraphQL names them."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return written(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else MASK
