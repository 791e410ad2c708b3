/** A short part of test/programs/suites.test.ts. */
import { expect, test } from 'vitest';
import { compareSuite, makeParts, python, startSuitesPair } from '../programs/suites/compare.js';
import { describeOnLab } from './support/lab.js';

describeOnLab("other people's test suites", () => {
  test('CPython: HTTP and SMTP', async ({ skip }) => {
    try {
      await makeParts(['python']);
    } catch (error) {
      if (process.env['CI'] === 'true') throw error;
      skip(`Debian's package of Python's tests cannot be had: ${String(error).slice(-500)}`);
    }
    const pair = await startSuitesPair('pasta');
    for (const module of ['test_httplib', 'test_smtplib']) {
      const { passed, reported, differing } = await compareSuite(pair, python(module));
      expect(Object.fromEntries(differing), 'plain | accelerated').toEqual({});
      expect(passed).toBeGreaterThan(80);
      expect(reported).toBeGreaterThan(0);
    }
    await pair.plain.remove();
    await pair.accelerated.remove();
  });
});
