"""Coordinator: knows accounts, namespace, hosts and replicas; sends everyone to a host.

/api/LOGIN/KEY   objects and collections      /hosts    what hosts say
/account         an account about itself      /status, /metrics
/dav/            what services mount: faces over `admission`

FOLDER/cluster-secret    FOLDER/catalog.sqlite
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pigpen.coordinator import operator
from pigpen.coordinator.account_api import AccountApi
from pigpen.coordinator.account_locks import AccountLocks
from pigpen.coordinator.announcer import Announcer
from pigpen.coordinator.catalog import host_rows, retention
from pigpen.coordinator.catalog.database import Catalog
from pigpen.coordinator.catalog.opening import open_catalog
from pigpen.coordinator.catalog_namespace.admission import CatalogAdmission
from pigpen.coordinator.catalog_namespace.tools import NamespaceTools
from pigpen.coordinator.downloads import Downloads
from pigpen.coordinator.entrance import Entrance
from pigpen.coordinator.host_api import HostApi, HostTools, make_host
from pigpen.coordinator.hosts import Hosts
from pigpen.coordinator.listings import Listings
from pigpen.coordinator.metrics import Metrics
from pigpen.coordinator.objects import ObjectsApi
from pigpen.coordinator.openings import Openings
from pigpen.coordinator.passthrough import Passthrough
from pigpen.coordinator.secrets import ClusterSecret, load_cluster_secret
from pigpen.coordinator.settings import CoordinatorSettings
from pigpen.coordinator.uploads import Uploads
from pigpen.env import Env, sleep
from pigpen.errors import ConfigError, PigpenError, Unavailable
from pigpen.http.answers import check_method, json_answer
from pigpen.http.message import Handler, Request, Response
from pigpen.http.namespace import Admission, Visit
from pigpen.web.sender import Sender
from pigpen.web.throttle import Throttle
from pigpen.web.tree import ResourceTree

#: a host not heard of for so long before our start is not asked at once
REMEMBERED_MS = 3_600_000
#: rows a sweep handles in one transaction, so that nobody waits long behind it
SWEEP_ROWS = 1000
#: sweeps between two counts of blobs by copies, which read every row
SWEEPS_A_COUNT = 10


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists while the coordinator runs."""

    catalog: Catalog
    entrance: Entrance
    announcer: Announcer
    tree: ResourceTree
    admission: CatalogAdmission


class Coordinator:
    """One coordinator over one folder."""

    log = Logger()

    def __init__(self, env: Env, client: Sender, settings: CoordinatorSettings) -> None:
        """:param client: `web.client.HttpClient`; its owner closes it."""
        self._env = env
        self._client = client
        self._settings = settings
        self.hosts = Hosts(env.clock, settings.heartbeat_seconds)
        self.metrics = Metrics(self.hosts)
        self._parts: _Parts | None = None
        self._sweeping: Deferred[None] | None = None
        self._sweeps = 0
        self._mounts: dict[str, Handler] = {}

    @property
    def handler(self) -> Handler:
        """Serves from `start` to `stop`; before and after it answers 503."""
        return self

    @property
    def admission(self) -> Admission:
        """The door to the accounts' namespaces, for faces that are mounted here."""
        return self

    async def admit(self, request: Request) -> Visit:
        """See `CatalogAdmission`. :raises Unavailable: before `start` and after `stop`."""
        return await self._running.admission.admit(request)

    def mount(self, prefix: str, handler: Handler) -> None:
        """Serve a handler beside the API; before `start`."""
        self._mounts[prefix] = handler

    async def start(self) -> None:
        """Open the catalog, remember the hosts.

        :raises ConfigError: the folder cannot be used, or another coordinator uses it.
        """
        env, settings = self._env, self._settings
        secret = await env.in_thread(_open_folder, env, settings.folder)
        catalog = await open_catalog(env, settings.folder, settings.catalog)
        try:
            await self._remember_hosts(catalog)
        except BaseException:
            await catalog.close()
            raise
        self._parts = self._build(catalog, secret)
        self._sweeping = Deferred.fromCoroutine(self._sweep(self._parts)).addErrback(self._swept)

    async def stop(self) -> None:
        """Take no more requests; returns when all that was accepted is durable."""
        parts, self._parts = self._parts, None
        if self._sweeping is not None:
            self._sweeping.cancel()
        if parts is not None:
            parts.announcer.close()
            await self._note_used(parts)
            await parts.catalog.close()

    async def handle(self, request: Request) -> Response:
        """Answer, and count the answer."""
        try:
            response = await self._running.tree.handle(request)
        except PigpenError as error:
            self.metrics.answered(request.method, error.status)
            raise
        except CancelledError:
            raise  # the client has gone
        except Exception:
            self.metrics.answered(request.method, 500)
            raise
        self.metrics.answered(request.method, response.status)
        return response

    async def make_account(self, login: str, quota: int | None = None) -> str:
        """A new account. :return: its first access key, which is shown this once.

        :raises BadRequest: the login. :raises Conflict: it is taken.
        """
        return await self._catalog.write(operator.make_account, login, quota)

    async def add_key(self, login: str, label: str = "") -> str:
        """One more access key for an account. :raises NoAccount: there is none."""
        return await self._catalog.write(operator.add_key, login, label)

    @property
    def _catalog(self) -> Catalog:
        return self._running.catalog

    @property
    def _running(self) -> _Parts:
        if self._parts is None:
            raise Unavailable(reason="the coordinator starts or stops")
        return self._parts

    def _build(self, catalog: Catalog, secret: ClusterSecret) -> _Parts:
        env, client, hosts, metrics = self._env, self._client, self.hosts, self.metrics
        settings = self._settings
        throttle = Throttle(env.clock, settings.max_failures)
        entrance = Entrance(env, catalog, throttle, settings.public_name)
        announcer = Announcer(env.clock, client, hosts, secret, metrics)
        downloads = Downloads(env, client, hosts, announcer, metrics)
        openings = Openings(env, catalog, entrance, hosts, announcer)
        passthrough = Passthrough(env.clock, client, catalog, hosts, metrics)
        uploads = Uploads(env, entrance, openings, passthrough, metrics)
        listings, locks = Listings(entrance, catalog), AccountLocks(entrance, catalog)
        objects = ObjectsApi(settings, entrance, downloads, uploads, listings, locks)
        host_tools = HostTools(
            env=env,
            settings=settings,
            client=client,
            catalog=catalog,
            entrance=entrance,
            throttle=throttle,
            hosts=hosts,
            secret=secret,
            metrics=metrics,
        )
        tree = self._tree(objects, AccountApi(entrance, openings), HostApi(host_tools))
        namespace_tools = NamespaceTools(
            env=env,
            settings=settings,
            catalog=catalog,
            entrance=entrance,
            downloads=downloads,
            openings=openings,
            passthrough=passthrough,
            metrics=metrics,
        )
        return _Parts(catalog, entrance, announcer, tree, CatalogAdmission(namespace_tools))

    def _tree(self, objects: Handler, account: Handler, hosts: Handler) -> ResourceTree:
        tree = ResourceTree()
        for prefix, handler in self._mounts.items():
            tree.mount(prefix, handler)
        tree.mount("/api/", objects, more=1)
        tree.mount("/account", account)
        tree.mount("/hosts", hosts)
        tree.mount("/status", _Status())
        tree.mount("/metrics", _Numbers(self.metrics))
        return tree

    async def _remember_hosts(self, catalog: Catalog) -> None:
        """Hosts that were alive before our start get the benefit of the doubt."""
        now = self._env.clock.seconds()
        oldest = self._env.wall() * 1000 - REMEMBERED_MS
        for row in await catalog.read(host_rows.all_hosts):
            if row.seen >= oldest:
                self.hosts.add(make_host(row, heard=now))

    # -- now and then -----------------------------------------------------------------------------

    async def _sweep(self, parts: _Parts) -> None:
        """Until cancelled."""
        while True:
            await sleep(self._env, self._settings.sweep_seconds)
            try:
                await self._sweep_once(parts)
            except PigpenError as error:
                self.log.error("the sweep of the catalog failed: {error}", error=error)

    def _swept(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self.log.failure("the sweep of the catalog ended", failure)

    async def _sweep_once(self, parts: _Parts) -> None:
        """End writes nobody finished, remove what lay in deleted collections, forget the old."""
        while await parts.catalog.write(retention.upkeep, SWEEP_ROWS):
            pass
        await self._note_used(parts)
        if self._sweeps % SWEEPS_A_COUNT == 0:
            online = [host.host_id for host in self.hosts if self.hosts.is_online(host)]
            self.metrics.set_blobs(await parts.catalog.read(host_rows.blobs_by_copies, online))
        self._sweeps += 1

    async def _note_used(self, parts: _Parts) -> None:
        try:
            await parts.entrance.note_used()
        except PigpenError as error:
            self.log.info("last use of keys is not written down: {error}", error=error)


class _Status:
    """GET /status: that we run; anyone may ask."""

    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        return json_answer(200, {"status": "up"})


class _Numbers:
    """GET /metrics, for Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, request: Request) -> Response:
        check_method(request, "GET", "HEAD")
        return self._metrics.answer()


def _open_folder(env: Env, folder: str) -> ClusterSecret:
    """:raises ConfigError: it cannot be used."""
    try:
        env.disk.make_folder(folder)
        return load_cluster_secret(env, folder)
    except OSError as error:
        reason = f"this folder cannot be used: {error.strerror or error}"
        raise ConfigError(path=folder, reason=reason) from None


_is_admission: type[Admission] = Coordinator
_is_handler: tuple[type[Handler], ...] = (Coordinator, _Status, _Numbers)
