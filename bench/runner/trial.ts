/** One trial: a workload on one driver, with its sanity checks. Failures are results, too. */
import { type Driver, type Prepared, publishArgs } from '../drivers/driver.js';
import { HOST } from '../drivers/index.js';
import type { Place } from '../places/place.js';
import type { Trial } from '../report/results.js';
import type {
  InboundWorkload,
  Metrics,
  OutsideWorkload,
  ScriptWorkload,
  Settings,
  Workload,
} from '../workloads/workload.js';
import { CommandError, execute } from './execute.js';
import { Interrupted } from './interrupt.js';
import {
  checkPath,
  inBackground,
  nextName,
  nextPorts,
  podmanRun,
  runSession,
  scriptArgs,
  switchedIn,
} from './session.js';

const LOOPBACK = '127.0.0.1';

export async function runTrial(
  place: Place,
  workload: Workload,
  driver: Driver,
  round: number,
  settings: Settings,
): Promise<Trial> {
  const base = {
    workload: workload.name,
    driver: driver.name,
    round,
    startedAt: new Date().toISOString(),
  };
  const log = new TrialLog(driver);
  try {
    const result = await run(place, workload, settings, log);
    return { ...base, ...log.record(), ...result };
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { ...base, ...log.record(), error: message };
  } finally {
    await log.undo();
  }
}

function run(place: Place, workload: Workload, settings: Settings, log: TrialLog): Promise<Result> {
  const at = placeOf(place, log.driver);
  switch (workload.kind) {
    case 'script':
      return runScript(at, workload, settings, log);
    case 'inbound': {
      const client = (script: string) => runClient(place, workload.from, script, log);
      return runInbound(at, workload, settings, client, log);
    }
    case 'outside':
      return runOutside(at, workload, settings, log);
    case 'test':
      throw new CommandError(`"${workload.command.join(' ')}" measures it`);
  }
}

/** What was run and prepared for a trial, to be told and to be undone. */
class TrialLog {
  command: readonly string[] = [];
  private readonly notes = new Set<string>();
  private readonly steps: (() => Promise<void>)[] = [];

  readonly driver: Driver;

  constructor(driver: Driver) {
    this.driver = driver;
  }

  /** What the driver adds to `podman run` for one container. */
  async prepare(place: Place, published: readonly number[] = []): Promise<readonly string[]> {
    const publish = publishArgs(this.driver, published);
    const prepared: Prepared | undefined = await this.driver.prepare?.(place, published);
    if (prepared === undefined) return publish;
    this.steps.push(prepared.undo);
    this.notes.add(prepared.note);
    return [...publish, ...(prepared.podmanArgs ?? [])];
  }

  note(text: string): void {
    this.notes.add(text);
  }

  later(step: () => Promise<void>): void {
    this.steps.push(step);
  }

  record(): { command: readonly string[]; note?: string } {
    const note = [...this.notes].join('\n');
    return { command: this.command, ...(note === '' ? {} : { note }) };
  }

  async undo(): Promise<void> {
    for (const step of this.steps.splice(0).reverse()) await step();
  }
}

interface Result {
  readonly metrics: Metrics;
  readonly switched?: number;
}

async function runScript(
  place: Place,
  workload: ScriptWorkload,
  settings: Settings,
  log: TrialLog,
): Promise<Result> {
  const { driver } = log;
  if (workload.server !== undefined) log.note(`on the remote machine: ${workload.server.script}`);
  if (workload.far !== undefined) {
    if (place.peer === undefined) throw new CommandError('needs a second host');
    const extraArgs = [...(await log.prepare(place.peer)), ...(workload.podmanArgs ?? [])];
    const far = inBackground(place.peer, driver, extraArgs, workload.far(place));
    log.note(`on the second host: ${far.argv.join(' ')}`);
    log.later(far.remove);
    await far.start();
  }
  const extraArgs = [...(await log.prepare(place)), ...(workload.podmanArgs ?? [])];
  const options = ['--rm', '-i', `--name=${nextName()}`];
  log.command = [
    ...podmanRun(place, driver, [...options, ...extraArgs]),
    ...scriptArgs(workload.script(place, settings, driver)),
  ];
  const { output, switched } = await runSession(place, log.command);
  const metrics = workload.parse(output);
  checkPath(driver, switched, workload.switchedAtLeast(metrics));
  return { metrics, ...(switched === undefined ? {} : { switched }) };
}

async function runInbound(
  place: Place,
  workload: InboundWorkload,
  settings: Settings,
  runClient: (script: string) => Promise<string>,
  log: TrialLog,
): Promise<Result> {
  const { driver } = log;
  const ports = nextPorts(workload.ports);
  const published = await log.prepare(place, ports);
  const server = inBackground(place, driver, published, workload.serve(ports));
  log.command = server.argv;
  log.later(server.remove);
  await server.start();
  const target =
    workload.from === 'remote'
      ? { server: place.address, client: place.server, ports }
      : { server: LOOPBACK, client: LOOPBACK, ports };
  const metrics = workload.parse(await runClient(workload.client(target, settings)));
  const switched = await switchedIn(place, server.name);
  checkPath(driver, switched, workload.ports);
  return { metrics, ...(switched === undefined ? {} : { switched }) };
}

/** On the host, clients run in a container, since that has the programs; it has no network of its own. */
async function runClient(
  place: Place,
  from: InboundWorkload['from'],
  script: string,
  log: TrialLog,
): Promise<string> {
  if (from === 'remote') {
    if (place.onRemote === undefined) throw new CommandError('needs a second machine');
    log.note(`on the remote machine: ${script}`);
    return execute(place.onRemote(['sh', '-c', script]));
  }
  const options = ['--rm', '-i', `--name=${nextName()}`];
  const argv = [...podmanRun(place, HOST, options), ...scriptArgs(script)];
  log.note(`on the same host: ${argv.join(' ')}`);
  return (await runSession(place, argv)).output;
}

async function runOutside(
  place: Place,
  workload: OutsideWorkload,
  settings: Settings,
  log: TrialLog,
): Promise<Result> {
  const { driver } = log;
  const container = async (options: readonly string[]) => {
    const name = nextName();
    const all = [...options, `--name=${name}`, ...(await log.prepare(place))];
    return { name, argv: podmanRun(place, driver, all) };
  };
  const record = (command: readonly string[]) => {
    log.command = command;
  };
  // Whether sockswitch serves such containers is asked of one that waits to be asked.
  const { argv } = await container(['--rm', '-i']);
  const { switched } = await runSession(place, [...argv, ...scriptArgs(':')]);
  checkPath(driver, switched, 0);
  const metrics = await workload.measure({ place, driver, settings, container, record });
  return { metrics };
}

/** Where the driver's containers run. */
function placeOf(place: Place, driver: Driver): Place {
  if (driver.needsRoot !== 'podman') return place;
  if (place.rootful === undefined)
    throw new CommandError("needs root's Podman: only the lab has it");
  return place.rootful;
}
