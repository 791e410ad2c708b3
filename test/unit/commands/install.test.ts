import { expect, test } from 'vitest';
import { inTheWay } from '../../../src/commands/install.js';

const HERE = {
  ...{ userNamespace: false, container: true, powerless: false, withheld: [] },
  ...{ coveredProc: [], tunProblem: undefined },
};

test('what containers cannot have here', () => {
  expect(inTheWay(HERE)).toEqual([]);
  expect(inTheWay({ ...HERE, coveredProc: ['/proc/kcore'], tunProblem: 'ENOENT' })).toEqual([
    expect.stringMatching(
      /^In the way: \/dev\/net\/tun cannot be opened \(ENOENT\), .*\.\n-> .* --device \/dev\/net\/tun$/,
    ),
    expect.stringMatching(
      /^In the way: parts of \/proc are covered here \(\/proc\/kcore\), .*\.\n-> .* unmask=ALL /,
    ),
  ]);
});
