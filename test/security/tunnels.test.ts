/**
 * Tunnels (docs/tunnels.md) under attack and in trouble, at length: test/integration/tunnels.test.ts and tunnel-outages.test.ts have
 * the short form.
 */
import { afterAll, beforeAll, test } from 'vitest';
import { describeOnLab } from '../integration/support/lab.js';
import {
  carried,
  killDaemons,
  type Node,
  removeNodes,
  startNodes,
} from '../integration/support/tunnels.js';

const KILLS = 20;

describeOnLab('tunnels', () => {
  let nodes: readonly [Node, Node];
  beforeAll(async () => {
    nodes = await startNodes();
    await carried(nodes[0]);
    await carried(nodes[1]);
  });
  afterAll(() => removeNodes(nodes));

  test(
    `${KILLS} daemons that are killed under load lose no connection`,
    {
      timeout: 900_000,
    },
    () => killDaemons(nodes, KILLS),
  );
});
