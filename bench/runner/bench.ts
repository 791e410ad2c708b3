/** A whole run: all trials in their order, servers started and stopped in between, and what came of it, finished or not. */
import type { Driver } from '../drivers/driver.js';
import type { Place, RunningServer } from '../places/place.js';
import type { Run, Trial } from '../report/results.js';
import { metricText } from '../report/table.js';
import type { Workload } from '../workloads/workload.js';
import { describeEnvironment } from './environment.js';
import { CommandError } from './execute.js';
import { checkInterrupted } from './interrupt.js';
import { type PlannedTrial, planTrials } from './plan.js';
import { removeContainers } from './session.js';
import { runTrial } from './trial.js';

export interface RunPlan {
  /** What the user named, for the record. */
  readonly asked: readonly string[];
  readonly workloads: readonly Workload[];
  readonly drivers: readonly Driver[];
  /** Instead of each workload's own. */
  readonly rounds: number | undefined;
  /** The same for the length of a measurement. */
  readonly seconds: number | undefined;
}

/** Calls `onEnd` with what is done, also when it is interrupted; throws Interrupted after that. */
export async function runBench(
  place: Place,
  plan: RunPlan,
  log: (line: string) => void,
  onEnd: (run: Run) => void,
): Promise<void> {
  const startedAt = new Date().toISOString();
  const environment = await describeEnvironment(place);
  const planned = planTrials(plan.workloads, plan.drivers, plan.rounds);
  const trials: Trial[] = [];
  const servers = new CurrentServer(place);
  const clock = new Clock(planned.length);
  try {
    for (const [index, next] of planned.entries()) {
      checkInterrupted();
      const trial = await oneTrial(place, next, plan, servers);
      trials.push(trial);
      log(
        `${index + 1}/${planned.length}${clock.left(index + 1)}  ${progress(trial, next.workload)}`,
      );
    }
  } finally {
    const problem = (error: unknown) => log(`cleaning up: ${error}`);
    await servers.stop().catch(problem);
    for (const where of [place, place.peer]) {
      if (where !== undefined) await removeContainers(where).catch(problem);
    }
    onEnd({
      schema: 1,
      startedAt,
      finishedAt: new Date().toISOString(),
      complete: trials.length === planned.length,
      suites: [...plan.asked],
      drivers: plan.drivers.map(({ name }) => name),
      rounds: Math.max(0, ...planned.map(({ round }) => round)),
      environment,
      trials,
    });
  }
}

async function oneTrial(
  place: Place,
  { workload, driver, round }: PlannedTrial,
  plan: RunPlan,
  servers: CurrentServer,
): Promise<Trial> {
  const startedAt = new Date().toISOString();
  try {
    await servers.use(workload);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const { message } = error;
    return {
      workload: workload.name,
      driver: driver.name,
      round,
      startedAt,
      command: [],
      error: message,
    };
  }
  const seconds = plan.seconds ?? workload.seconds;
  return runTrial(place, workload, driver, round, { seconds });
}

/** The remote server of the workload whose turn it is. Others do not run then: they would take CPU time. */
class CurrentServer {
  private workload: Workload | undefined;
  private running: RunningServer | undefined;
  /** Why it does not run: told to every driver, tried once. */
  private failure: CommandError | undefined;

  private readonly place: Place;

  constructor(place: Place) {
    this.place = place;
  }

  async use(workload: Workload): Promise<void> {
    if (workload !== this.workload) {
      await this.stop();
      await this.start(workload);
    }
    if (this.failure !== undefined) throw this.failure;
  }

  private async start(workload: Workload): Promise<void> {
    this.workload = workload;
    if (workload.kind !== 'script' || workload.server === undefined) return;
    try {
      this.running = await this.place.startServer?.(workload.server);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.failure = error;
    }
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    this.workload = undefined;
    this.failure = undefined;
    await running?.stop();
  }
}

/** How long the rest will take, told from the pace so far. */
class Clock {
  private readonly begin = Date.now();

  private readonly total: number;

  constructor(total: number) {
    this.total = total;
  }

  left(done: number): string {
    const seconds = ((Date.now() - this.begin) / 1000 / done) * (this.total - done);
    return seconds < 60 ? '' : ` (about ${Math.ceil(seconds / 60)} min left)`;
  }
}

function progress(trial: Trial, workload: Workload): string {
  const { metrics, error } = trial;
  const result =
    error === undefined
      ? workload.metrics.map((metric) => metricText(metric, metrics?.[metric.name] ?? 0)).join(', ')
      : `FAILED: ${error}`;
  return `round ${trial.round}  ${trial.driver}  ${trial.workload}: ${result}`;
}
