/** The matrix of test/security/reach: the same each time, large enough, and nothing left out of the sample. */
import { describe, expect, test } from 'vitest';
import { CHANGES } from '../security/reach/changes.js';
import { combinations, sample, valuesOf } from '../security/reach/combinations.js';
import { NETWORK_KINDS } from '../security/reach/networks.js';

const all = combinations();

describe('the matrix of reach', () => {
  test('has every network and every change, in at least 200 combinations of different names', () => {
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    expect(all.length).toBeGreaterThanOrEqual(200);
    expect(new Set(all.map(({ network }) => network.id)).size).toBe(NETWORK_KINDS.length);
    expect(new Set(all.map(({ change }) => change.id)).size).toBe(CHANGES.length);
  });

  test('is the same for the same seed, and another for another', () => {
    const ids = (seed?: number) => combinations(seed).map(({ id }) => id);
    expect(ids(3)).toEqual(ids(3));
    expect(ids(3)).not.toEqual(ids());
  });

  test('has a sample of 30 in which every value of every dimension occurs', () => {
    const chosen = sample(all, 30);
    expect(chosen.length).toBe(30);
    const values = (list: typeof all) => [...new Set(list.flatMap(valuesOf))].sort();
    expect(values(chosen)).toEqual(values(all));
  });
});
