/** Switched sockets given to a container that has no filter of ours: two containers of one user that share a volume. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab, host1 } from '../integration/support/lab.js';
import { ENABLED } from '../integration/support/podman.js';
import { SCM_RIGHTS, type System } from './catalogue.js';
import { parseOutcome } from './support/outcome.js';
import { record } from './support/results.js';
import {
  attackCommand,
  clearStage,
  PATIENCE_MS,
  setStage,
  startTarget,
  TRIES,
} from './support/stage.js';

describeOnLab('switched sockets in an unaccelerated container', () => {
  beforeAll(setStage);
  afterAll(clearStage);

  const sender = { id: SCM_RIGHTS.id, title: SCM_RIGHTS.title, program: 'scm_send' };
  const receiver = { ...sender, program: 'scm_receive' };

  describe.each(['pasta', 'slirp4netns'] as const)('on %s', (network) => {
    const systems: readonly { system: System; annotations: Readonly<Record<string, string>> }[] = [
      { system: network, annotations: {} },
      { system: `sockswitch-${network}`, annotations: ENABLED },
    ];
    test.each(systems)('from $system', { timeout: 400_000 }, async ({ system, annotations }) => {
      const shared = (await host1.output(['mktemp', '-d'])).trim();
      const args = ['-v', `${shared}:/shared`];
      const from = await startTarget({ network, args, annotations });
      const to = await startTarget({ network, args });
      const receiving = to.exec(attackCommand(receiver, TRIES), { timeout: PATIENCE_MS });
      const sent = await from.exec(attackCommand(sender, TRIES), { timeout: PATIENCE_MS });
      await receiving;
      const { reached, note } = parseOutcome(sent.stdout);
      record({ attack: SCM_RIGHTS.id, system, verdict: reached ? 'reached' : 'blocked', note });
      await Promise.all([from.remove(), to.remove()]);
      expect(reached, note).toBe(false);
    });
  });
});
