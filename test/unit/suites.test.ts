/** How outcomes of other people's test suites are read and compared (test/programs/suites). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DOCUMENT, render, withSuites } from '../integration/support/document.js';
import { differences, go, LIBUV, python } from '../programs/suites/compare.js';

test('outcomes', () => {
  const lines =
    'ok\ttest.test_ssl.A.test_b\nskip\ttest.test_ssl.A.test_c\nnoise\nerror\tsetUpClass (test.A)\n';
  expect(Object.fromEntries(python('test_ssl').parse(lines))).toEqual({
    'test.test_ssl.A.test_b': 'ok',
    'test.test_ssl.A.test_c': 'skip',
    'setUpClass (test.A)': 'error',
  });
  const tap = '1..3\nok 1 - tcp_open\nnot ok 2 - tcp_close\n# text\nok 3 - tty # SKIP no tty\n';
  expect(Object.fromEntries(LIBUV.parse(tap))).toEqual({
    tcp_open: 'ok',
    tcp_close: 'not ok',
    tty: 'skip',
  });
  const verbose =
    '\u0016=== RUN   TestA\n\u0016=== RUN   TestA/sub\ntext\u0016--- PASS: TestA (0.01s)\n    --- FAIL: TestA/sub (0.00s)\n\u0016--- SKIP: TestB (0.00s)\n';
  expect(Object.fromEntries(go('net').parse(verbose))).toEqual({ TestA: 'PASS', TestB: 'SKIP' });
});

test('only what never ended alike differs', () => {
  const of = (tests: Record<string, string[]>) =>
    new Map(Object.entries(tests).map(([name, how]) => [name, new Set(how)]));
  const plain = of({ same: ['ok'], flaky: ['ok'], worse: ['ok'], gone: ['ok'] });
  const accelerated = of({ same: ['ok'], flaky: ['fail', 'ok'], worse: ['fail'], more: ['ok'] });
  expect(Object.fromEntries(differences(plain, accelerated))).toEqual({
    gone: 'ok | missing',
    more: 'missing | ok',
    worse: 'ok | fail',
  });
});

test('the table in the document', () => {
  const one = (network: string, differing: { test: string; reason: string }[]) => ({
    ...{ suite: 'libuv', version: '1.0', network, tests: 7, differing },
  });
  const results = [one('pasta', []), one('slirp4netns', [{ test: 'tcp_a', reason: 'because' }])];
  const text = withSuites('before\n<!-- suites -->\nold\n<!-- end of suites -->\nafter\n', results);
  expect(text).toBe(`before
<!-- suites -->
| suite | version | tests | pasta | slirp4netns |
| --- | --- | --- | --- | --- |
| libuv | 1.0 | 7 | same | same, except 1 |

- libuv, \`tcp_a\`, on slirp4netns: because
<!-- end of suites -->
after
`);
});

test('docs/compatibility.md has the texts that its generator would write', () => {
  const parts = (text: string) => text.split(/^<!-- (?:end of )?versions -->$|^(?=## )/m);
  const [introduction, , , ...rest] = parts(readFileSync(DOCUMENT, 'utf8'));
  const [written, , , ...after] = parts(render({ records: [], versions: {} }).text);
  expect(written).toBe(introduction);
  expect(after).toEqual(rest);
});
