"""PROPPATCH: set and remove properties, all or nothing, in document order (DAV-17)."""

from __future__ import annotations

from pigpen.dav import xml_bodies
from pigpen.dav.call import Call
from pigpen.dav.multistatus import MULTISTATUS, MULTISTATUS_END, escape, xml_answer
from pigpen.dav.preconditions import body_of, found, submits_token
from pigpen.dav.property_changes import Failure, plan_of
from pigpen.errors import InsufficientStorage, Locked
from pigpen.http.message import Response
from pigpen.http.namespace import Ability, Want


async def proppatch(call: Call) -> Response:
    """207, also where nothing was done.

    :raises NotFound: nothing there. :raises Locked: a token is missing.
    :raises BadRequest: the body makes no sense.
    """
    changes = xml_bodies.propertyupdate(await body_of(call, _changeable))
    plan = plan_of(changes, call.namespace.abilities)
    if plan.failures:
        await found(call)
    else:
        try:
            await call.namespace.change_properties(call.key, plan.changes, call.when, plan.modified)
        except InsufficientStorage as error:
            plan.fail_all_set(Failure.of(error))
    # the name it was asked by: to look up how it is stored would cost one more question
    href = escape(call.href(call.key))
    response = f"<D:response><D:href>{href}</D:href>{plan.propstats()}</D:response>"
    return xml_answer(207, MULTISTATUS + response + MULTISTATUS_END)


async def _changeable(call: Call) -> None:
    """:raises NotFound: :raises Locked: a token is missing."""
    node = await found(call, Want(locks=Ability.LOCKS in call.namespace.abilities))
    locks = node.locks or ()
    if not submits_token(call, locks):
        raise Locked(roots=tuple(lock.root for lock in locks))
