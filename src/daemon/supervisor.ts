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
 * daemon. A keeper that dies takes the listeners of future `podman exec`s with it but not those that
 * are attached; the daemon starts another one.
 */
import { chmodSync, existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { release } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { ControlClient } from '../api/client.js';
import { NerdctlContainers, nerdctlServer } from '../api/nerdctl.js';
import {
  ApiError,
  type ContainerList,
  type ExplainRequest,
  type Explanation,
  type Status,
} from '../api/protocol.js';
import { controlServer } from '../api/server.js';
import { messageOf, UserError } from '../errors.js';
import type { RewriteOptions } from '../oci/seccomp.js';
import { processSpec, type SpecResult } from '../oci/spec.js';
import {
  type ConfigPaths,
  ensureRuntimeDirectory,
  type Programs,
  type RuntimePaths,
  userId,
} from '../paths.js';
import { compilePolicy } from '../policy/compile.js';
import { type Config, loadConfig } from '../policy/config.js';
import { askGraphRoot, PodmanNetworks } from '../policy/podman-networks.js';
import { quote } from '../text.js';
import { version } from '../version.js';
import type { Addon, Engine, KeeperLink, Policy } from './addon.js';
import type { Container } from './containers.js';
import { Containers } from './containers.js';
import { type HookReply, type HookServer, serveHook } from './hook-server.js';
import { Journal } from './journal.js';
import { connectKeeper, KeeperBusyError } from './keeper.js';
import { type KernelFeatures, requireKernel } from './kernel.js';
import { Listeners } from './listeners.js';
import type { Logger } from './log.js';
import { peerUser } from './peer.js';
import { lookForContainer, namespaceAt } from './podman-container.js';
import { Publications } from './publications.js';
import { isServed, removeStale } from './unix-listen.js';
import { wantsWaitKillable } from './wait-killable.js';
import { warmUp } from './warm-up.js';

export interface SupervisorOptions {
  readonly addon: Addon;
  readonly runtime: RuntimePaths;
  readonly configuration: ConfigPaths;
  readonly programs: Programs;
  readonly graphRoot: string;
  readonly config: Config;
  readonly log: Logger;
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
  readonly #startedAt = new Date();
  #config: Config;
  #keeper: KeeperLink | undefined;
  #hook: HookServer | undefined;
  #control: FastifyInstance | undefined;
  #nerdctl: NerdctlContainers | undefined;
  #nerdctlServer: FastifyInstance | undefined;
  #stopping = false;

  /** Serves when it resolves. Rejects with UserError; nothing is left running then. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    requireKernel(options.addon.kernelFeatures());
    ensureRuntimeDirectory(options.runtime.directory);
    await refuseSecond(options.runtime);
    const supervisor = new Supervisor(options);
    try {
      await supervisor.#serve();
    } catch (error) {
      await supervisor.stop();
      throw error;
    }
    return supervisor;
  }

  private constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#features = options.addon.kernelFeatures();
    this.#engine = options.addon.createEngine({
      netnsProgram: options.programs.netns,
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
      onEnded: ({ id }) => {
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
    this.#networks = new PodmanNetworks(options.graphRoot, () => this.#pushPolicies());
  }

  /** Reads the configuration again; a bad file leaves everything as it was. */
  reload(): void {
    const { log, configuration, fixedLogLevel } = this.#options;
    try {
      this.#config = loadConfig(configuration.config);
    } catch (error) {
      log.error(`the configuration stays as it was: ${messageOf(error)}`);
      return;
    }
    if (!fixedLogLevel) log.level = this.#config.logLevel;
    this.#pushPolicies();
    log.info({ file: configuration.config }, 'configuration read again');
  }

  /** Stops serving; the keeper and the containers stay. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#hook?.close();
    await this.#control?.close();
    await this.#nerdctlServer?.close();
    this.#networks.close();
    this.#publications.close();
    // Data plane first: as long as the keeper link is open no other daemon gets the listeners.
    this.#engine.stop();
    this.#keeper?.close();
  }

  async #serve(): Promise<void> {
    const { runtime, addon, log } = this.#options;
    if (this.#config.nerdctlApi) this.#nerdctl = this.#nerdctlContainers();
    await this.#connectKeeper();
    void this.#findGraphRoot();
    this.#hook = await serveHook({
      path: runtime.hookSocket,
      ownUser: userId(),
      peerUser: (socket) => peerUser(addon, socket),
      handle: (spec) => this.#handleSpec(spec),
      onProblem: (problem) => log.warn({ problem }, 'hook connection refused'),
    });
    const control = controlServer(this.#api(), (error) =>
      log.error({ err: error }, 'internal error'),
    );
    this.#control = control;
    this.#refuseOthers(control);
    removeStale(runtime.controlSocket);
    await control.listen({ path: runtime.controlSocket });
    chmodSync(runtime.controlSocket, 0o600);
    if (this.#nerdctl !== undefined) await this.#serveNerdctl(this.#nerdctl);
    log.info(
      { pid: process.pid, version: version(), kernel: release(), ...this.#kernelInUse() },
      'sockswitch daemon is ready',
    );
    setImmediate(() => warmUp(this.#rewriteOptions()));
  }

  /** The directory keeps other users out; this keeps out who passes it all the same. */
  #refuseOthers(server: FastifyInstance): void {
    server.server.on('connection', (socket: Socket) => {
      if (peerUser(this.#options.addon, socket) !== userId()) socket.destroy();
    });
  }

  #nerdctlContainers(): NerdctlContainers {
    const { runtime } = this.#options;
    return new NerdctlContainers({
      listenerSocket: runtime.listenerSocket,
      file: runtime.nerdctlFile,
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
    await server.listen({ path });
    chmodSync(path, 0o600);
  }

  async #connectKeeper(): Promise<void> {
    const { addon, runtime, programs, log } = this.#options;
    this.#keeper = await connectKeeper({
      addon,
      socket: runtime.keeperSocket,
      program: programs.keeper,
      runtimeDirectory: runtime.directory,
      handlers: {
        onListener: (listener) => {
          this.#networks.refresh();
          this.#listeners.accept(listener);
        },
        onKept: (kept) => {
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
        onReady: () => this.#listeners.handoverEnded(),
        onClose: (reason) => this.#onKeeperClosed(reason),
      },
    });
  }

  #onKeeperClosed(reason: string): void {
    this.#keeper = undefined;
    if (this.#stopping) return;
    const { log } = this.#options;
    log.error({ reason }, 'the keeper is gone; starting another one');
    this.#connectKeeper().then(
      () => {
        log.info('the keeper is back');
        this.#publications.keepAgain();
      },
      (error: unknown) => {
        // Without a keeper every start of an accelerated container fails: let systemd try again.
        log.fatal(`no keeper: ${messageOf(error)}`);
        process.exitCode = 1;
        void this.stop();
      },
    );
  }

  async #findGraphRoot(): Promise<void> {
    const graphRoot = await askGraphRoot();
    if (graphRoot !== undefined && !this.#stopping) this.#networks.setGraphRoot(graphRoot);
  }

  #handleSpec(spec: string): HookReply {
    const { log } = this.#options;
    const { container, result } = processSpec(spec, this.#rewriteOptions());
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

  /** Returns why the container must not start, undefined when its ports are its own. */
  #reserveBeforeStart(id: string | undefined, result: SpecResult): UserError | undefined {
    if (id === undefined) {
      return result.publish.length === 0
        ? undefined
        : new UserError("sockswitch/publish: the container's id cannot be told from its spec");
    }
    try {
      this.#publications.reserve(id, result.publish, result.networkPath);
      return undefined;
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
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
    });
  }

  #pushPolicies(): void {
    this.#containers.setPolicies((container) => this.#listeners.policyOf(container));
  }

  #kernelInUse() {
    const { syncWakeUp, waitKillable, pidfdThread, acceptGuard } = this.#features;
    return { syncWakeUp, waitKillable, pidfdThread, acceptGuard };
  }

  #api() {
    return {
      status: () => this.#status(),
      containers: () => this.#containerList(),
      explain: (request: ExplainRequest) => this.#explain(request),
      stopKeeper: () => this.#keeper?.shutdown(false),
    };
  }

  #status(): Status {
    const { runtime, configuration } = this.#options;
    return {
      pid: process.pid,
      version: version(),
      startedAt: this.#startedAt.toISOString(),
      uptimeSeconds: Math.round((Date.now() - this.#startedAt.getTime()) / 1000),
      kernel: { release: release(), ...this.#kernelInUse() },
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
      containers: this.#containers.rows(
        (container) => this.#listeners.policyOf(container).ignore,
        (container) => this.#publications.textsOf(container.id),
      ),
      incidents: [...this.#journal.list()],
    };
  }

  #explain(request: ExplainRequest): Explanation {
    const container = this.#containers.find(request.container);
    const [listener] = container.listeners;
    if (listener === undefined)
      throw new ApiError('gone', `container ${container.id} has just ended`);
    const verdict = this.#engine.explain(listener, request.address, request.port);
    const { kind, text } = this.#containers.info(verdict.outcome);
    return {
      container: container.id,
      address: request.address,
      port: request.port,
      kind,
      outcome: verdict.outcome,
      text,
      detail: verdict.detail,
      ...(verdict.device === undefined ? {} : { device: verdict.device }),
    };
  }
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
