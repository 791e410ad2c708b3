/**
 * A reporter of vitest for test/run: writes to the file that TEST_COUNTS names a line "PASSED FAILED SKIPPED", then a line for each
 * failure: where and why. A file that could not be loaded, or a suite whose beforeAll failed, is one failure.
 */
import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

function whyIn(errors: readonly { readonly message: string }[]): string {
  const [line] = stripVTControlCharacters(errors[0]?.message ?? 'failed')
    .trim()
    .split('\n');
  return line ?? '';
}

function suiteFailure(suite: TestSuite): string[] {
  const errors = suite.errors();
  return errors.length === 0 ? [] : [`${suite.fullName}: ${whyIn(errors)}`];
}

function failuresIn(module: TestModule): string[] {
  const errors = module.errors();
  const tests = [...module.children.allTests('failed')].map((failed: TestCase) => {
    return `${failed.fullName}: ${whyIn(failed.result().errors ?? [])}`;
  });
  const suites = [...module.children.allSuites()].flatMap(suiteFailure);
  const own = errors.length === 0 ? [] : [whyIn(errors)];
  return [...own, ...suites, ...tests].map((text) => `${module.relativeModuleId}: ${text}`);
}

export default class CountingReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const { TEST_COUNTS: file } = process.env;
    if (file === undefined) throw new Error('TEST_COUNTS names no file');
    const count = (state: 'passed' | 'skipped'): number =>
      modules.reduce((sum, { children }) => sum + [...children.allTests(state)].length, 0);
    const failures = modules.flatMap(failuresIn);
    const counts = [count('passed'), failures.length, count('skipped')].join(' ');
    writeFileSync(file, [counts, ...failures, ''].join('\n'));
  }
}
