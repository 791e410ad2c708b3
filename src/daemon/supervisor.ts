/**
 * The daemon: puts the parts together, in an order that leaves nothing half-started.
 *
 *   1. configuration, kernel: refuse before anything is touched
 *   2. runtime directory; a live control.sock means that another daemon runs
 *   3. data plane, keeper: whoever is connected to the keeper is the daemon, so the two leftover
 *      sockets of a dead one can be replaced now. The keeper begins to hand over listeners at once.
 *   4. hook.sock, control.sock: containers can start, clients can ask
 *
 * It stops in reverse order. The keeper stays: it holds the listeners, whose calls wait for the next
 * daemon. When the keeper dies, or the link to it breaks, the daemon connects anew, to another one if need
 * be, which then gets the old one's listening socket (a duplicate is kept here, so runtimes can connect all
 * the while) and all listeners. A keeper of another version is replaced in the same way.
 */
import { chmodSync, closeSync, existsSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import {
  type Addon,
  type Engine,
  KEEPER_SHUTDOWN,
  type KeeperLink,
  type Policy,
} from '../addon/addon.js';
import { ControlClient } from '../api/client.js';
import { NerdctlContainers, nerdctlServer } from '../api/nerdctl.js';
import {
  ApiError,
  type ContainerList,
  type ExplainRequest,
  type Explanation,
  type JournalEvent,
  type SocketList,
  type Status,
} from '../api/protocol.js';
import { controlServer } from '../api/server.js';
import { messageOf, UserError } from '../base/errors.js';
import {
  type ConfigPaths,
  ensureRuntimeDirectory,
  type Programs,
  type RuntimePaths,
  userId,
} from '../base/paths.js';
import { quote } from '../base/text.js';
import { version } from '../base/version.js';
import type { ContainerRequest } from '../oci/annotations.js';
import type { RewriteOptions } from '../oci/seccomp.js';
import { processSpec, type SpecResult } from '../oci/spec.js';
import { lookForContainer, publishedByPodman } from '../podman/inspect.js';
import { askGraphRoot, PodmanNetworks } from '../podman/networks.js';
import { compilePolicy } from '../policy/compile.js';
import { type Config, loadConfig } from '../policy/config.js';
import { ConfigWatch } from '../policy/config-watch.js';
import { guardProblem, type KernelFeatures, requireKernel } from '../system/kernel-requirements.js';
import { secondsSince, thisMoment } from '../system/moment.js';
import { namespaceAt } from '../system/namespace.js';
import { type Peer, peerOf } from '../system/peer.js';
import { cannotServe, isServed, removeStale } from '../system/unix-socket.js';
import { descriptorShortage } from './admission/descriptor-shortage.js';
import { type HookReply, type HookServer, serveHook } from './admission/hook-server.js';
import { wantsWaitKillable } from './admission/wait-killable.js';
import { warmUp } from './admission/warm-up.js';
import { socketsOf, stateName } from './containers/container-sockets.js';
import type { Container } from './containers/containers.js';
import { Containers } from './containers/containers.js';
import { connectKeeper, KeeperBusyError } from './listeners/find-keeper.js';
import { Listeners } from './listeners/listeners.js';
import { Journal } from './observe/journal.js';
import type { Logger } from './observe/log.js';
import { MetricsEndpoints } from './observe/metrics-endpoints.js';
import { Publications } from './publish/publications.js';
import { Tunnels } from './tunnels/tunnels.js';

export interface SupervisorOptions {
  readonly addon: Addon;
  readonly runtime: RuntimePaths;
  readonly configuration: ConfigPaths;
  readonly programs: Programs;
  readonly graphRoot: string;
  readonly config: Config;
  readonly log: Logger;
  /** The keeper is a unit of its own, which this daemon waits for and does not start. */
  readonly externalKeeper: boolean;
  /** The log level comes from the command line, so a reload leaves it alone. */
  readonly fixedLogLevel: boolean;
}

/** Between two attempts to get a keeper while one is missing. */
const KEEPER_PAUSE_MS = 1_000;
/** Between two looks for free descriptors while there are none. */
const SHORTAGE_PAUSE_MS = 100;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #features: KernelFeatures;
  readonly #journal = new Journal();
  readonly #networks: PodmanNetworks;
  readonly #engine: Engine;
  readonly #containers: Containers;
  readonly #listeners: Listeners;
  readonly #publications: Publications;
  readonly #tunnels: Tunnels;
  readonly #started = thisMoment();
  #config: Config;
  #keeper: KeeperLink | undefined;
  /** The socket that runtimes connect to, whichever keeper accepts there. */
  #listening: number | undefined;
  #keeperReplaced = false;
  /** What a keeper hands over after its first readiness is ours already. */
  #keeperKnown = false;
  #hook: HookServer | undefined;
  #control: FastifyInstance | undefined;
  #nerdctl: NerdctlContainers | undefined;
  #nerdctlServer: FastifyInstance | undefined;
  readonly #metrics: MetricsEndpoints;
  #watch: ConfigWatch | undefined;
  #stopping = false;
  readonly #ended = withResolvers();

  /** Serves when it resolves. Rejects with UserError; nothing is left running then. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const features = options.addon.kernelFeatures();
    requireKernel(features);
    ensureRuntimeDirectory(options.runtime.directory);
    await refuseSecond(options.runtime);
    const supervisor = new Supervisor(options, features);
    try {
      await supervisor.#serve();
    } catch (error) {
      if (!options.externalKeeper) supervisor.#keeper?.shutdown(KEEPER_SHUTDOWN.whenIdle);
      await supervisor.stop();
      throw error;
    }
    return supervisor;
  }

  private constructor(options: SupervisorOptions, features: KernelFeatures) {
    this.#options = options;
    this.#config = options.config;
    this.#features = features;
    this.#engine = options.addon.createEngine({
      netnsProgram: options.programs.netns,
      guardProgram: options.programs.guard,
      guardSocket: options.runtime.guardSocket,
      requireGuard: options.config.requireGuard,
      onEvents: (events) => this.#listeners.onEvents(events),
    });
    this.#containers = new Containers(this.#engine, options.addon.outcomes);
    this.#listeners = new Listeners({
      engine: this.#engine,
      containers: this.#containers,
      journal: this.#journal,
      log: options.log,
      compile: (container) => this.#compile(container),
      registered: (id) => this.#nerdctl?.requestOf(id),
      onListener: (container) => this.#reservePorts(container),
      onBegun: (container, listener) => this.#tunnels.begin(container, listener),
      onTunnel: (container, event) => this.#tunnels.onEvent(container, event),
      onEnded: (container) => {
        const { id } = container;
        this.#tunnels.end(container);
        if (!this.#containers.has(id)) this.#publications.end(id);
      },
    });
    this.#publications = new Publications({
      engine: this.#engine,
      portHolders: options.addon.portHolders,
      keeper: () => this.#keeper,
      // nerdctl says when its containers end; Podman does not know them.
      look: async (id) =>
        this.#nerdctl?.requestOf(id) === undefined ? lookForContainer(id) : 'there',
      networkOf: namespaceAt,
    });
    this.#tunnels = new Tunnels({
      engine: this.#engine,
      journal: this.#journal,
      log: options.log,
      enabled: () => this.#config.tunnels,
      podmanPorts: async (id) =>
        this.#nerdctl?.requestOf(id) === undefined ? publishedByPodman(id) : [],
    });
    this.#metrics = new MetricsEndpoints(
      {
        status: () => this.#status(),
        containers: () => this.#containerList().containers,
        latencyOf: (id) => this.#containers.latencyOf(id),
        sockets: () => this.#sockets(undefined).sockets,
        tunnels: () => this.#tunnels.list(this.#containers.all()).tunnels,
      },
      (error) => options.log.error({ err: error }, 'internal error'),
    );
    this.#networks = new PodmanNetworks(options.graphRoot, () => this.#pushPolicies());
  }

  /** Has the configuration read again in a moment, however often it is asked for meanwhile. */
  requestReload(): void {
    this.#watch?.request();
  }

  /** Reads the configuration again; a bad file leaves everything as it was. */
  async reload(): Promise<void> {
    const { log, configuration, fixedLogLevel } = this.#options;
    try {
      const config = loadConfig(configuration.config);
      await this.#metrics.servePort(config.metricsPort);
      this.#config = config;
    } catch (error) {
      log.error(`the configuration stays as it was: ${messageOf(error)}`);
      this.#journal.event({ type: 'configuration-refused', message: messageOf(error) });
      return;
    }
    if (!fixedLogLevel) log.level = this.#config.logLevel;
    this.#pushPolicies();
    this.#tunnels.reconfigure();
    log.info({ file: configuration.config }, 'configuration read again');
    this.#journal.event({ type: 'configuration-read', message: configuration.config });
  }

  /** Stops serving; the keeper and the containers stay. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#hook?.close();
    await this.#control?.close();
    await this.#nerdctlServer?.close();
    this.#watch?.close();
    this.#metrics.close();
    this.#networks.close();
    this.#publications.close();
    // Data plane first: as long as the keeper link is open no other daemon gets the listeners.
    this.#engine.stop();
    this.#keeper?.close();
    this.#keepListening(undefined);
    this.#ended.resolve();
  }

  /** Resolves when it has stopped, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async #serve(): Promise<void> {
    const { runtime, addon, log } = this.#options;
    if (this.#config.nerdctlApi) this.#nerdctl = this.#nerdctlContainers();
    await this.#connectKeeper();
    void this.#findGraphRoot();
    this.#hook = await serveHook({
      path: runtime.hookSocket,
      ownUser: userId(),
      peer: (socket) => peerOf(addon, socket),
      handle: (spec, peer) => this.#handleSpec(spec, peer),
      onProblem: (problem) => log.warn({ problem }, 'hook connection refused'),
    });
    const control = controlServer(this.#api(), (error) =>
      log.error({ err: error }, 'internal error'),
    );
    this.#control = control;
    this.#refuseOthers(control);
    removeStale(runtime.controlSocket);
    await listenOn(control, runtime.controlSocket);
    if (this.#nerdctl !== undefined) await this.#serveNerdctl(this.#nerdctl);
    await this.#metrics.serveSocket(runtime.metricsSocket);
    await this.#metrics.servePort(this.#config.metricsPort);
    this.#watch = new ConfigWatch(this.#options.configuration.config, () => void this.reload());
    log.info(
      { pid: process.pid, version: version(), kernel: release(), ...this.#kernelInUse() },
      'sockswitch daemon is ready',
    );
    if (this.#unguarded !== undefined) {
      log.error(`nothing is accelerated: ${this.#unguarded}`);
      this.#journal.event({ type: 'unguarded', message: this.#unguarded });
    }
    setImmediate(() => warmUp(this.#rewriteOptions()));
  }

  /** The directory keeps other users out; this keeps out who passes it all the same. */
  #refuseOthers(server: FastifyInstance): void {
    server.server.on('connection', (socket: Socket) => {
      if (peerOf(this.#options.addon, socket)?.uid !== userId()) socket.destroy();
    });
  }

  #nerdctlContainers(): NerdctlContainers {
    const { runtime, log } = this.#options;
    return new NerdctlContainers({
      listenerSocket: runtime.listenerSocket,
      file: runtime.nerdctlFile,
      onProblem: (problem) => {
        log.error(problem);
        this.#journal.add({ kind: 'listener', message: problem });
      },
      reserve: (container, mappings) => this.#publications.reserve(container, mappings),
      release: (container) => this.#publications.release(container),
    });
  }

  async #serveNerdctl(containers: NerdctlContainers): Promise<void> {
    const path = this.#options.runtime.nerdctlSocket;
    if (await isServed(path)) {
      throw new UserError(
        `another program, bypass4netnsd probably, serves ${quote(path)}: stop it, or leave out --nerdctl-api`,
      );
    }
    const server = nerdctlServer(containers);
    this.#nerdctlServer = server;
    this.#refuseOthers(server);
    removeStale(path);
    await listenOn(server, path);
  }

  async #connectKeeper(): Promise<void> {
    const { addon, runtime, programs, log, externalKeeper } = this.#options;
    this.#keeper = await connectKeeper({
      addon,
      socket: runtime.keeperSocket,
      program: externalKeeper ? undefined : programs.keeper,
      runtimeDirectory: runtime.directory,
      listening: this.#listening,
      handlers: {
        onListener: (listener) => {
          this.#networks.refresh();
          this.#listeners.accept(listener);
        },
        onKept: (kept) => {
          if (this.#keeperKnown) {
            closeSync(kept.fd); // its link broke: what it keeps is ours still
            return;
          }
          try {
            this.#publications.adopt(kept);
          } catch (error) {
            log.error(`a published port is lost: ${messageOf(error)}`);
          }
        },
        onRefused: (reason) => {
          log.warn({ reason }, 'the keeper refused something on the listener socket');
          this.#journal.add({ kind: 'listener', message: `refused: ${reason}` });
        },
        onReady: () => this.#onKeeperReady(),
        onShortage: () => this.#onShortage(),
        onClose: (reason) => void this.#onKeeperClosed(reason),
      },
    });
    this.#keepListening(this.#keeper.listening);
  }

  #keepListening(socket: number | undefined): void {
    if (this.#listening !== undefined) closeSync(this.#listening);
    this.#listening = socket;
  }

  #onKeeperReady(): void {
    if (this.#keeper === undefined) return;
    this.#keeperKnown = true;
    this.#listeners.handoverEnded(this.#keeper);
    if (this.#keeper.sameVersion) return;
    const { log } = this.#options;
    const { version: keeperVersion } = this.#keeper;
    if (this.#keeperReplaced) {
      log.error(
        { keeperVersion },
        'the keeper is of another version again, and stays: run "sockswitch install", which corrects its unit',
      );
      return;
    }
    this.#keeperReplaced = true;
    log.info({ keeperVersion }, 'the keeper is of another version; replacing it');
    this.#keeper.shutdown(KEEPER_SHUTDOWN.replaced);
  }

  /** Listeners wait in the keeper, and their calls with them, until others have ended. */
  #onShortage(): void {
    const problem =
      'no file descriptors are left (RLIMIT_NOFILE): what starts now in accelerated containers waits at its first connection until something else has ended; raise the limit of the daemon';
    this.#options.log.error(problem);
    this.#journal.add({ kind: 'listener', message: problem });
    const resume = (): void => {
      if (this.#keeper?.resume() === false) setTimeout(resume, SHORTAGE_PAUSE_MS).unref();
    };
    setTimeout(resume, SHORTAGE_PAUSE_MS).unref();
  }

  /** Never gives up: this daemon has the listeners still, and its end would be the end of them. */
  async #onKeeperClosed(reason: string): Promise<void> {
    this.#keeper = undefined;
    this.#listeners.keeperLost();
    const { log } = this.#options;
    if (!this.#stopping) {
      log.warn({ reason }, 'the keeper is gone; connecting again');
      this.#journal.event({ type: 'keeper-lost', message: reason });
    }
    while (!this.#stopping) {
      try {
        await this.#connectKeeper();
        log.info('the keeper is back');
        this.#publications.keepAgain();
        this.#journal.event({ type: 'keeper-back', message: 'connected to a keeper again' });
        return;
      } catch (error) {
        log.error(`no keeper: ${messageOf(error)}`);
      }
      await sleep(KEEPER_PAUSE_MS, undefined, { ref: false });
    }
  }

  async #findGraphRoot(): Promise<void> {
    const graphRoot = await askGraphRoot();
    if (graphRoot !== undefined && !this.#stopping) this.#networks.setGraphRoot(graphRoot);
  }

  #handleSpec(spec: string, peer: Peer): HookReply {
    const { log } = this.#options;
    const { container, result } = processSpec(spec, {
      ...this.#rewriteOptions(),
      obstacle: (request) => this.#obstacleTo(request) ?? descriptorShortage(),
      // The hook waits in Podman's mount namespace, where Podman's network namespaces have their paths.
      netnsAt: (path) => namespaceAt(`/proc/${peer.pid}/root${path}`),
      isConnected: (path) => this.#isConnected(`/proc/${peer.pid}/root${path}`),
      isFileAt: (path) => isFile(`/proc/${peer.pid}/root${path}`),
    });
    const known = container === undefined ? {} : { container };
    const refusal =
      result instanceof UserError ? result : this.#reserveBeforeStart(container, result);
    if (refusal !== undefined || result instanceof UserError) {
      const message = refusal?.message ?? '';
      log.warn({ ...known, reason: message }, 'container start refused');
      this.#journal.add({ kind: 'rejected', ...known, message });
      return { text: spec, rejection: message };
    }
    if (result.note !== undefined) {
      log.info({ ...known, reason: result.note }, 'container starts without acceleration');
      this.#journal.add({ kind: 'unaccelerated', ...known, message: result.note });
    }
    return { text: result.text };
  }

  /** A service of a container that may go without acceleration is relayed. */
  #obstacleTo({ publish, required }: ContainerRequest): string | undefined {
    return publish.length === 0 || required ? this.#unguarded : undefined;
  }

  /** Returns why the container must not start, undefined when its ports are its own. */
  #reserveBeforeStart(id: string | undefined, result: SpecResult): UserError | undefined {
    if (id === undefined) {
      return result.publish.length === 0
        ? undefined
        : new UserError("sockswitch/publish: the container's id cannot be told from its spec");
    }
    try {
      this.#publications.reserve(id, result.publish, result.netns);
      return undefined;
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
  }

  /** Also where it cannot be told: the data plane finds out later. */
  #isConnected(netns: string): boolean {
    try {
      return this.#engine.isConnected(netns);
    } catch (error) {
      this.#options.log.warn(
        { netns },
        `cannot look into a network namespace: ${messageOf(error)}`,
      );
      return true;
    }
  }

  #reservePorts(container: Container): void {
    const { id, request, pid } = container;
    for (const problem of this.#publications.begin(id, request.publish, pid)) {
      this.#options.log.error({ container: id }, `a port is not published: ${problem}`);
      this.#journal.add({ kind: 'listener', container: id, message: problem });
    }
  }

  #rewriteOptions(): RewriteOptions {
    return {
      listenerPath: this.#options.runtime.listenerSocket,
      waitKillable: wantsWaitKillable(this.#config.waitKillable, this.#features.waitKillable),
      refuseFastOpen: true,
      machine: process.arch,
    };
  }

  #compile(container: Container): Policy {
    return compilePolicy({
      config: this.#config,
      ignore: container.request.ignore,
      podmanNetworks: this.#networks.current,
      publish: this.#publications.numbersOf(container.id),
      listenUnseen: this.#nerdctl?.requestOf(container.id) !== undefined,
      networkAdmin: container.metadata.networkAdmin,
      ignoreFirewall: container.request.ignoreFirewall,
      optionsUnseen: !container.metadata.optionsReported,
      socketLabel: container.metadata.socketLabel ?? '',
    });
  }

  #pushPolicies(): void {
    this.#containers.setPolicies((container) => this.#listeners.policyOf(container));
  }

  /** Why nothing is accelerated; the containers of an earlier daemon are served all the same, or their calls would wait. */
  get #unguarded(): string | undefined {
    const { config, programs } = this.#options;
    if (this.#engine.guardsSockets || !config.requireGuard) return undefined;
    const { message, remedy } = guardProblem(programs.guard, this.#engine.guardObstacle);
    return `${message}: ${remedy}; or accept what is left without it (docs/threat-model.md) by require_guard = false`;
  }

  #kernelInUse() {
    const { syncWakeUp, waitKillable, pidfdThread, kcmp } = this.#features;
    return { syncWakeUp, waitKillable, pidfdThread, kcmp, socketGuard: this.#engine.guardsSockets };
  }

  #api() {
    const { log } = this.#options;
    return {
      status: () => this.#status(),
      containers: () => this.#containerList(),
      explain: (request: ExplainRequest) => this.#explain(request),
      sockets: (container: string | undefined) => this.#sockets(container),
      tunnels: (container: string | undefined) =>
        this.#tunnels.list(
          container === undefined ? this.#containers.all() : [this.#containers.find(container)],
        ),
      events: () => ({ events: [...this.#journal.events()] }),
      follow: (follower: (event: JournalEvent) => void) => this.#journal.follow(follower),
      stopKeeper: () => this.#keeper?.shutdown(KEEPER_SHUTDOWN.whenIdle),
      stop: () => {
        log.info('asked to stop; containers keep running, their new connections wait');
        void this.stop();
      },
    };
  }

  #status(): Status {
    const { runtime, configuration } = this.#options;
    return {
      pid: process.pid,
      version: version(),
      startedAt: this.#started.date.toISOString(),
      uptimeSeconds: Math.round(secondsSince(this.#started)),
      kernel: { release: release(), ...this.#kernelInUse() },
      ...(this.#unguarded === undefined ? {} : { unaccelerated: this.#unguarded }),
      waitKillable: this.#rewriteOptions().waitKillable,
      keeper: { connected: this.#keeper !== undefined, socket: runtime.keeperSocket },
      config: { path: configuration.config, present: existsSync(configuration.config) },
      podmanNetworks: [...this.#networks.current],
      containers: this.#containers.size,
      listeners: this.#containers.listenerCount,
    };
  }

  #containerList(): ContainerList {
    return {
      containers: this.#containers.rows({
        ignore: (container) => this.#listeners.policyOf(container).ignore,
        publish: (container) => this.#publications.textsOf(container.id),
        tunnels: (container) => this.#tunnels.summary(container),
      }),
      incidents: [...this.#journal.list()],
    };
  }

  #sockets(id: string | undefined): SocketList {
    const of = id === undefined ? this.#containers.all() : [this.#containers.find(id)];
    const host = this.#options.addon.tcpSockets();
    return {
      sockets: of.flatMap((container) =>
        socketsOf(container, host).map(({ inode: _, state, ...socket }) => ({
          container: container.id,
          state: stateName(state),
          ...socket,
        })),
      ),
    };
  }

  #explain(request: ExplainRequest): Explanation {
    const container = this.#containers.find(request.container);
    const [listener] = container.listeners;
    if (listener === undefined)
      throw new ApiError('gone', `container ${container.id} has just ended`);
    const { address, port, protocol } = request;
    const verdict = this.#engine.explain(listener, address, port, protocol);
    const { kind, text } = this.#containers.info(verdict.outcome);
    const tunnel = protocol === 'udp' ? this.#tunnels.explain(container, address, port) : undefined;
    return {
      container: container.id,
      address,
      port,
      protocol,
      kind,
      outcome: verdict.outcome,
      text,
      detail: verdict.detail,
      ...(verdict.device === undefined ? {} : { device: verdict.device }),
      ...(tunnel === undefined ? {} : { tunnel }),
    };
  }
}

/** Promise.withResolvers, which Node.js 20 does not have. */
function withResolvers(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: () => resolve() };
}

/** Throws UserError when a daemon answers on control.sock. */
async function refuseSecond(runtime: RuntimePaths): Promise<void> {
  if (!(await isServed(runtime.controlSocket))) return;
  throw new KeeperBusyError(await alreadyRunning(runtime));
}

/** "already running (pid N)", as far as the other daemon tells its pid. */
async function alreadyRunning(runtime: RuntimePaths): Promise<string> {
  const who = await new ControlClient(runtime.controlSocket).status().then(
    ({ pid }) => ` (pid ${pid})`,
    () => '',
  );
  return `the daemon is already running${who}: use it, or stop it first`;
}

/** With mode 0600. Rejects with UserError. */
async function listenOn(server: FastifyInstance, path: string): Promise<void> {
  try {
    await server.listen({ path });
    chmodSync(path, 0o600);
  } catch (error) {
    throw cannotServe(path, error);
  }
}

/** False where it cannot be told. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
