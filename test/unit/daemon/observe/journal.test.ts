import { expect, test } from 'vitest';
import { Journal } from '../../../../src/daemon/observe/journal.js';

test('incidents are events, too; followers hear what comes until they go', () => {
  const journal = new Journal();
  journal.event({ type: 'keeper-back', message: 'a' });
  const heard: string[] = [];
  const stop = journal.follow(({ message }) => heard.push(message));
  journal.add({ kind: 'rejected', container: 'c', message: 'b' });
  stop();
  journal.event({ type: 'keeper-lost', message: 'c' });
  expect(heard).toEqual(['b']);
  expect(journal.events().map(({ type }) => type)).toEqual([
    ...['keeper-back', 'rejected', 'keeper-lost'],
  ]);
  expect(journal.list()).toMatchObject([{ kind: 'rejected', container: 'c', message: 'b' }]);
});

test('no more than 500 are kept, the latest', () => {
  const journal = new Journal();
  for (let n = 0; n < 600; n++) journal.event({ type: 'x', message: String(n) });
  expect(journal.events()).toHaveLength(500);
  expect(journal.events().at(-1)?.message).toBe('599');
});
