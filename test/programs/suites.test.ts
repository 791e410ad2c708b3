/** Other people's tests of sockets end in an accelerated container as in a plain one (docs/compatibility.md). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab } from '../integration/support/lab.js';
import type { Pair } from '../integration/support/matrix.js';
import { recordSuite, startSuites } from '../integration/support/suite-results.js';
import {
  compareSuite,
  go,
  LIBUV,
  makeParts,
  python,
  type Suite,
  startSuitesPair,
  versionOf,
} from './suites/compare.js';

const TIMEOUT_MS = 1_800_000;

/** With the least number of tests that pass without acceleration: less, and the run was none. */
const SUITES: readonly (readonly [Suite, number])[] = [
  [python('test_socket'), 600],
  [python('test_asyncio'), 2_500],
  [python('test_ftplib'), 90],
  [python('test_smtplib'), 80],
  [python('test_httplib'), 130],
  [python('test_ssl'), 170],
  [LIBUV, 430],
  [go('net'), 240],
  [go('net/http'), 550],
  [go('crypto/tls'), 170],
];

/** By suite and test: why it ends otherwise, where that is as it should be. */
const KNOWN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [LIBUV.name]: Object.fromEntries(
    ['tcp_connect_timeout', 'tcp_close_while_connecting'].map((one) => [
      one,
      'it connects to where nobody answers, and fails if an error comes within 50 ms: the host and pasta may have one by then, slirp4netns has none',
    ]),
  ),
};

describeOnLab("other people's test suites", () => {
  beforeAll(async () => {
    startSuites();
    await makeParts(['python', 'libuv', 'go']);
  }, TIMEOUT_MS);

  describe.each(['pasta', 'slirp4netns'])('%s', (network) => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await startSuitesPair(network);
    });
    afterAll(async () => {
      await pair.plain.remove();
      await pair.accelerated.remove();
    });

    test.each(SUITES.map(([suite, least]) => ({ name: suite.name, suite, least })))(
      '$name',
      async ({ name, suite, least }) => {
        const { tests, passed, reported, differing } = await compareSuite(pair, suite);
        const known = KNOWN[name] ?? {};
        const unknown = [...differing].filter(([one]) => !Object.hasOwn(known, one));
        expect(Object.fromEntries(unknown), 'plain | accelerated').toEqual({});
        expect(passed).toBeGreaterThanOrEqual(least);
        expect(reported).toBeGreaterThan(0);
        recordSuite({
          suite: name,
          version: versionOf(suite.part),
          network,
          tests,
          differing: [...differing.keys()].map((one) => ({ test: one, reason: known[one] ?? '' })),
        });
      },
      TIMEOUT_MS,
    );
  });
});
