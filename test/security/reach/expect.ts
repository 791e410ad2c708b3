/** What must hold for every combination. */
import { expect } from 'vitest';
import type { Combination } from './combinations.js';
import { destinations } from './destinations.js';
import { type Comparison, compareTwins, type Reach } from './twins.js';

/** Only where they differ: a list that is empty, or that can be read. */
function differences(plain: Reach, accelerated: Reach): Record<string, string> {
  const differing = new Set([...Object.keys(plain), ...Object.keys(accelerated)]);
  const words = (outcomes: readonly string[] | undefined) =>
    outcomes?.join(' or ') || 'not reached';
  return Object.fromEntries(
    [...differing]
      .filter((label) => words(plain[label]) !== words(accelerated[label]))
      .map((label) => [
        label,
        `${words(plain[label])}; with acceleration: ${words(accelerated[label])}`,
      ]),
  );
}

export async function expectEqualReach(combination: Combination): Promise<Comparison> {
  const comparison = await compareTwins(combination);
  const { plain, accelerated, complaints, switched } = comparison;
  const { network, change } = combination;
  const rounds = combination.moment === 'after' ? 2 : 1;
  expect(Object.keys(plain).length, 'destinations').toBe(
    rounds * destinations(network.bridge).length,
  );
  const different = differences(plain, accelerated);
  expect(different, JSON.stringify(different, null, 2)).toEqual({});
  if (network.common !== true) return comparison;
  // On a common network a script does what its name says, and the container is accelerated.
  expect(complaints.plain, 'what the change complains of').toBe('');
  if (switched !== undefined && ['nothing', 'harmless'].includes(change.family)) {
    expect(switched, 'connections switched').toBeGreaterThan(5);
  }
  return comparison;
}
