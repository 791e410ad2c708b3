import { expect, test } from 'vitest';
import { nestedText } from '../../../src/commands/nested.js';

test.each([
  [1, 1, '1 connection of 1 namespace'],
  [3, 12, '12 connections of 3 namespaces'],
  [1000, 5000, '5000 connections of 1000 or more namespaces'],
  [0, 2, '2 connections'],
  [2, 0, '2 namespaces'],
])('%i namespaces, %i connections', (networks, connects, text) => {
  expect(nestedText({ networks, connects })).toBe(text);
});
