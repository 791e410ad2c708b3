/** A trial: one workload on one driver in a fresh container, with its sanity checks. Failures are results, too. */
import type { Driver, Prepared } from '../drivers/driver.js';
import type { Place } from '../places/place.js';
import type { Trial } from '../report/results.js';
import type { Settings, Workload } from '../workloads/workload.js';
import { Interrupted } from './interrupt.js';
import { nextName, podmanRun, runSession } from './session.js';

export async function runTrial(
  place: Place,
  workload: Workload,
  driver: Driver,
  round: number,
  settings: Settings,
): Promise<Trial> {
  const startedAt = new Date().toISOString();
  const name = nextName();
  let prepared: Prepared | undefined;
  let command: readonly string[] = [];
  const outcome = async () => {
    prepared = await driver.prepare?.(place);
    const plan = {
      driver,
      extraArgs: prepared?.podmanArgs ?? [],
      script: workload.script(place, settings),
    };
    command = podmanRun(place, plan, name);
    const { output, switched } = await runSession(place, command);
    const metrics = workload.parse(output);
    checkPath(driver, switched, workload.switchedAtLeast(metrics));
    return { metrics, ...(switched === undefined ? {} : { switched }) };
  };
  const base = { workload: workload.name, driver: driver.name, round, startedAt };
  try {
    const result = await outcome();
    return { ...base, command, ...note(prepared), ...result };
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { ...base, command, ...note(prepared), error: message };
  } finally {
    await prepared?.undo();
  }
}

function note(prepared: Prepared | undefined): { note?: string } {
  return prepared === undefined ? {} : { note: prepared.note };
}

/** Whether the bytes went the way that the driver's name says. */
function checkPath(driver: Driver, switched: number | undefined, atLeast: number): void {
  if (!driver.switches) {
    if (switched !== undefined) throw new Error('sockswitch served a container that did not ask');
    return;
  }
  if (switched === undefined) throw new Error('sockswitch did not serve the container');
  if (switched < atLeast) {
    throw new Error(`only ${switched} connections were switched, not ${Math.ceil(atLeast)}`);
  }
}
