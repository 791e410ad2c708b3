/**
 * All combinations of networks, changes, moments and restarts: the same reach with and without acceleration.
 *
 *   SOCKSWITCH_REACH_SEED      a number, for others than the usual ones
 *   SOCKSWITCH_REACH_CONTROL   1: neither container is accelerated, to try the tests themselves; also for the tests beside this one
 */
import { afterAll, beforeAll, test } from 'vitest';
import { describeOnLab } from '../../integration/support/lab.js';
import { combinations, SEED } from './combinations.js';
import { expectEqualReach } from './expect.js';
import { clearReachStage, setReachStage } from './stage.js';

const seed = Number(process.env['SOCKSWITCH_REACH_SEED'] ?? SEED);

describeOnLab(`the same reach with and without acceleration (seed ${seed})`, () => {
  beforeAll(setReachStage);
  afterAll(clearReachStage);
  for (const combination of combinations(seed)) {
    test(combination.id, async () => {
      await expectEqualReach(combination);
    });
  }
});
