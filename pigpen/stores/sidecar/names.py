"""Names: keys as the records write them: paths that sort as listings do."""

from __future__ import annotations

from pigpen.http.key import Key


def name_of(key: Key) -> str:
    """``/a/b``; a collection's ends in a slash, the root's is one."""
    path = place_of(key)
    return path + "/" if key.collection or not path else path


def place_of(key: Key) -> str:
    """As `name_of`, never with a final slash; the root's is empty."""
    return "".join("/" + name for name in key.names)


def key_of(name: str) -> Key:
    """What `name_of` was given."""
    names = tuple(name[1:].removesuffix("/").split("/")) if len(name) > 1 else ()
    return Key(names, name.endswith("/"))


def parent_of(name: str) -> str:
    """The collection a name lies in; the root's is empty."""
    return name.removesuffix("/").rpartition("/")[0] + "/" if len(name) > 1 else ""


def end_of(name: str) -> str:
    """Sorts after all that lies below a collection, and before anything else behind it."""
    return name[:-1] + "0"


def places_above(place: str) -> list[str]:
    """A place and those above it, up to the root's."""
    found = [place]
    while place:
        place = place.rpartition("/")[0]
        found.append(place)
    return found
