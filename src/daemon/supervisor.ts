/**
 * The daemon: puts the parts together, in an order that leaves nothing half-started.
 *
 *   1. configuration, kernel: refuse before anything is touched
 *   2. runtime directory; a live control.sock means that another daemon runs
 *   3. data plane, keeper: whoever is connected to the keeper is the daemon, so the two leftover
 *      sockets of a dead one can be replaced now. The keeper begins to hand over listeners at once.
 *   4. hook.sock, control.sock: containers can start, clients can ask
 *
 * It stops in reverse order. The keeper stays: it holds the listeners, whose calls wait for the next daemon
 * (listeners/keeper-connection.ts).
 */
import { release } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { Addon, Engine, Policy } from '../addon/addon.js';
import { NerdctlContainers, nerdctlServer } from '../api/nerdctl.js';
import { controlServer } from '../api/server.js';
import { messageOf } from '../base/errors.js';
import {
  type ConfigPaths,
  ensureRuntimeDirectory,
  type Programs,
  type RuntimePaths,
  userId,
} from '../base/paths.js';
import { version } from '../base/version.js';
import type { RewriteOptions } from '../oci/seccomp.js';
import { lookForContainer, publishedByPodman } from '../podman/inspect.js';
import { askGraphRoot, PodmanNetworks } from '../podman/networks.js';
import { runningContainers } from '../podman/running.js';
import { compilePolicy } from '../policy/compile.js';
import { type Config, loadConfig } from '../policy/config.js';
import { FileWatch } from '../system/file-watch.js';
import {
  guardProblem,
  type KernelFeatures,
  namesMessage,
  repinProblem,
  requireKernel,
} from '../system/kernel-requirements.js';
import { thisMoment } from '../system/moment.js';
import { namespaceAt } from '../system/namespace.js';
import { peerOf } from '../system/peer.js';
import { Admission } from './admission/admission.js';
import { type HookServer, serveHook } from './admission/hook-server.js';
import { MissedStarts } from './admission/missed-starts.js';
import { wantsWaitKillable } from './admission/wait-killable.js';
import { warmUp } from './admission/warm-up.js';
import { type Container, Containers } from './containers/containers.js';
import { Answers } from './control/answers.js';
import { refuseSecondDaemon, serveNerdctl, serveOwnUser } from './control/control-socket.js';
import { KeeperConnection } from './listeners/keeper-connection.js';
import { Listeners } from './listeners/listeners.js';
import { Journal } from './observe/journal.js';
import type { Logger } from './observe/log.js';
import { MetricsEndpoints } from './observe/metrics-endpoints.js';
import { KeptNames } from './publish/kept-names.js';
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

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #features: KernelFeatures;
  readonly #journal = new Journal();
  readonly #networks: PodmanNetworks;
  readonly #engine: Engine;
  readonly #containers: Containers;
  readonly #listeners: Listeners;
  readonly #publications: Publications;
  readonly #names: KeptNames;
  readonly #tunnels: Tunnels;
  readonly #keeper: KeeperConnection;
  readonly #admission: Admission;
  readonly #missedStarts: MissedStarts;
  readonly #answers: Answers;
  #config: Config;
  #hook: HookServer | undefined;
  #control: FastifyInstance | undefined;
  #nerdctl: NerdctlContainers | undefined;
  #nerdctlServer: FastifyInstance | undefined;
  readonly #metrics: MetricsEndpoints;
  #watch: FileWatch | undefined;
  #missedWatch: FileWatch | undefined;
  /** Whether services' sockets can follow the host's network, as it was when it was last looked at. */
  #pins: { readonly problem: ReturnType<typeof repinProblem> | undefined } | undefined;
  #stopping = false;
  readonly #ended = withResolvers();

  /** Serves when it resolves. Rejects with UserError; nothing is left running then. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const features = options.addon.kernelFeatures();
    requireKernel(features);
    ensureRuntimeDirectory(options.runtime.directory);
    await refuseSecondDaemon(options.runtime.controlSocket);
    const supervisor = new Supervisor(options, features);
    try {
      await supervisor.#serve();
    } catch (error) {
      if (!options.externalKeeper) supervisor.#keeper.endWhenIdle();
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
      namesProgram: options.programs.names,
      namesSocket: options.runtime.namesSocket,
      repinProgram: options.programs.repin,
      repinSocket: options.runtime.repinSocket,
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
      onPinKept: (detail) => this.#reportPin(detail),
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
      keeper: () => this.#keeper.link,
      // nerdctl says when its containers end; Podman does not know them.
      look: async (id) =>
        this.#nerdctl?.requestOf(id) === undefined ? lookForContainer(id) : 'there',
      networkOf: namespaceAt,
    });
    this.#names = new KeptNames({
      links: this.#engine.nameLinks,
      keeper: () => this.#keeper.link,
    });
    this.#tunnels = new Tunnels({
      engine: this.#engine,
      journal: this.#journal,
      log: options.log,
      enabled: () => this.#config.tunnels,
      podmanPorts: async (id) =>
        this.#nerdctl?.requestOf(id) === undefined ? publishedByPodman(id) : [],
    });
    this.#networks = new PodmanNetworks(options.graphRoot, () => this.#pushPolicies());
    this.#keeper = new KeeperConnection({
      addon: options.addon,
      runtime: options.runtime,
      program: options.externalKeeper ? undefined : options.programs.keeper,
      journal: this.#journal,
      log: options.log,
      onListener: (listener) => {
        this.#networks.refresh();
        this.#listeners.accept(listener);
      },
      onKept: (kept) => {
        if (!this.#names.adopt(kept)) this.#publications.adopt(kept);
      },
      onHandedOver: (keeper) => {
        this.#listeners.handoverEnded(keeper);
        this.#keepNames();
        void this.#missedStarts.report();
      },
      onLost: () => this.#listeners.keeperLost(),
      onBack: () => this.#publications.keepAgain(),
    });
    this.#admission = new Admission({
      engine: this.#engine,
      publications: this.#publications,
      journal: this.#journal,
      log: options.log,
      rewriteOptions: () => this.#rewriteOptions(),
      unguarded: () => this.#unguarded,
    });
    this.#missedStarts = new MissedStarts({
      file: options.runtime.missedStarts,
      journal: this.#journal,
      log: options.log,
      running: runningContainers,
      isServed: (id) => this.#containers.has(id),
    });
    this.#answers = new Answers({
      addon: options.addon,
      engine: this.#engine,
      runtime: options.runtime,
      configuration: options.configuration,
      started: thisMoment(),
      containers: this.#containers,
      listeners: this.#listeners,
      publications: this.#publications,
      tunnels: this.#tunnels,
      journal: this.#journal,
      keeper: this.#keeper,
      kernelInUse: () => this.#kernelInUse(),
      unguarded: () => this.#unguarded,
      hostNames: () => this.#hostNames,
      staysPinned: () => {
        this.#pins ??= { problem: this.#repinProblem() };
        const { problem } = this.#pins;
        return problem && `${problem.message}: ${problem.remedy}`;
      },
      waitKillable: () => this.#rewriteOptions().waitKillable,
      podmanNetworks: () => this.#networks.current,
      onStop: () => {
        options.log.info('asked to stop; containers keep running, their new connections wait');
        void this.stop();
      },
    });
    this.#metrics = new MetricsEndpoints(
      {
        status: () => this.#answers.status(),
        containers: () => this.#answers.containers().containers,
        latencyOf: (id) => this.#containers.latencyOf(id),
        sockets: () => this.#answers.sockets(undefined).sockets,
        tunnels: () => this.#answers.tunnels(undefined).tunnels,
      },
      (error) => this.#onDefect(error),
    );
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
    this.#pins = undefined;
    this.#pushPolicies();
    this.#tunnels.reconfigure();
    log.info({ file: configuration.config }, 'configuration read again');
    this.#journal.event({ type: 'configuration-read', message: configuration.config });
  }

  /** Stops serving; the keeper and the containers stay. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#keeper.stopReconnecting();
    await this.#hook?.close();
    await this.#control?.close();
    await this.#nerdctlServer?.close();
    this.#watch?.close();
    this.#missedWatch?.close();
    this.#metrics.close();
    this.#networks.close();
    this.#publications.close();
    // Data plane first: as long as the keeper link is open no other daemon gets the listeners.
    this.#engine.stop();
    this.#keeper.close();
    this.#ended.resolve();
  }

  /** Resolves when it has stopped, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async #serve(): Promise<void> {
    const { runtime, addon, log } = this.#options;
    if (this.#config.nerdctlApi) this.#nerdctl = this.#nerdctlContainers();
    await this.#keeper.connect();
    void this.#findGraphRoot();
    this.#hook = await serveHook({
      path: runtime.hookSocket,
      ownUser: userId(),
      peer: (socket) => peerOf(addon, socket),
      handle: (spec, peer) => this.#admission.answer(spec, peer),
      onProblem: (problem) => log.warn({ problem }, 'hook connection refused'),
    });
    this.#control = controlServer(this.#answers, (error) => this.#onDefect(error));
    await serveOwnUser(this.#control, runtime.controlSocket, addon);
    if (this.#nerdctl !== undefined) {
      this.#nerdctlServer = nerdctlServer(this.#nerdctl);
      await serveNerdctl(this.#nerdctlServer, runtime.nerdctlSocket, addon);
    }
    await this.#metrics.serveSocket(runtime.metricsSocket);
    await this.#metrics.servePort(this.#config.metricsPort);
    this.#watch = new FileWatch(this.#options.configuration.config, () => void this.reload());
    this.#missedWatch = new FileWatch(runtime.missedStarts, () => void this.#missedStarts.report());
    log.info(
      { pid: process.pid, version: version(), kernel: release(), ...this.#kernelInUse() },
      'sockswitch daemon is ready',
    );
    if (this.#unguarded !== undefined) {
      log.error(`nothing is accelerated: ${this.#unguarded}`);
      this.#journal.event({ type: 'unguarded', message: this.#unguarded });
    }
    if (this.#hostNames !== undefined) log.info(this.#hostNames);
    setImmediate(() => warmUp(this.#rewriteOptions()));
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

  async #findGraphRoot(): Promise<void> {
    const graphRoot = await askGraphRoot();
    if (graphRoot !== undefined && !this.#stopping) this.#networks.setGraphRoot(graphRoot);
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
      hostNames: container.request.hostNames,
      listenUnseen: this.#nerdctl?.requestOf(container.id) !== undefined,
      networkAdmin: container.metadata.networkAdmin,
      ignoreFirewall: container.request.ignoreFirewall,
      podsEgress: container.request.podsEgress,
      podsNetworks: container.request.podsNetworks,
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

  /** Why services see the host's address for clients inside and for neighbours. */
  get #hostNames(): string | undefined {
    const { namesProblem } = this.#engine;
    return namesProblem && namesMessage(this.#options.programs.names, namesProblem);
  }

  /** A published service's socket was not moved with the host's network. */
  #reportPin(detail: string): void {
    const { log } = this.#options;
    this.#pins = { problem: this.#repinProblem() };
    const { message, remedy } = this.#pins.problem ?? {
      message: "a service's socket was not moved with the host's network",
      remedy: undefined,
    };
    log.warn({ detail, remedy }, message);
    const text = remedy === undefined ? message : `${message}: ${remedy}`;
    this.#journal.event({ type: 'pin-kept', message: `${text} (${detail})` });
  }

  /** Why services' sockets cannot be moved with the host's network; asks sockswitch-repin. */
  #repinProblem(): ReturnType<typeof repinProblem> | undefined {
    const { addon, programs, runtime } = this.#options;
    const paths = { repinProgram: programs.repin, repinSocket: runtime.repinSocket };
    const obstacle = addon.repinObstacle(paths);
    return obstacle === '' ? undefined : repinProblem(programs.repin, obstacle);
  }

  /** Without them only what services call their peers is lost. */
  #keepNames(): void {
    try {
      this.#names.handedOver();
    } catch (error) {
      this.#options.log.warn(
        `the names of earlier daemons' clients are not kept: ${messageOf(error)}`,
      );
    }
  }

  #kernelInUse() {
    const { syncWakeUp, waitKillable, pidfdThread, kcmp } = this.#features;
    return { syncWakeUp, waitKillable, pidfdThread, kcmp, socketGuard: this.#engine.guardsSockets };
  }

  #onDefect(error: unknown): void {
    this.#options.log.error({ err: error }, 'internal error');
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
