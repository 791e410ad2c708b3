/** The same attacks under bypass4netns: a report for the table, which expects nothing. */
import { afterAll, beforeAll, test } from 'vitest';
import { describeOnLab, type Result } from '../integration/support/lab.js';
import { ATTACKS } from './catalogue.js';
import { attackUnderBypass4netns, bypass4netnsVersion } from './support/bypass4netns.js';
import { parseOutcome } from './support/outcome.js';
import { record, type SecurityRecord } from './support/results.js';
import { clearStage, setStage } from './support/stage.js';

describeOnLab('bypass4netns', () => {
  let version: string | undefined;
  beforeAll(async () => {
    await setStage();
    version = await bypass4netnsVersion();
  });
  afterAll(clearStage);

  test.each(ATTACKS)('$id', { timeout: 400_000 }, async (attack) => {
    const verdict =
      version === undefined
        ? { verdict: 'missing' as const, note: 'not packaged for this release' }
        : judge(await attackUnderBypass4netns(attack));
    record({ attack: attack.id, system: 'bypass4netns', ...verdict });
  });
});

function judge(result: Result): Pick<SecurityRecord, 'verdict' | 'note'> {
  try {
    const { reached, note } = parseOutcome(result.stdout);
    return { verdict: reached ? 'reached' : 'blocked', note };
  } catch {
    return { verdict: 'ended', note: `status ${result.status}` };
  }
}
