/** A sample of the matrix in which every value of every dimension occurs; matrix.test.ts is all of it. */
import { afterAll, beforeAll, test } from 'vitest';
import { describeOnLab } from '../../integration/support/lab.js';
import { combinations, sample } from './combinations.js';
import { expectEqualReach } from './expect.js';
import { clearReachStage, setReachStage } from './stage.js';

export const SAMPLE = 30;

describeOnLab('the same reach with and without acceleration', () => {
  beforeAll(setReachStage);
  afterAll(clearReachStage);
  for (const combination of sample(combinations(), SAMPLE)) {
    test(combination.id, async () => {
      await expectEqualReach(combination);
    });
  }
});
