/**
 * Switched sockets given to a container that has no filter of ours: two containers of one user that share a volume.
 *
 * What can be connected there is bounded by the pin; that nothing can listen takes the socket guard, which the lab's hosts have.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonStatus } from '../integration/support/daemon.js';
import { describeOnLab, host1 } from '../integration/support/lab.js';
import { ENABLED } from '../integration/support/podman.js';
import { SAMPLE } from '../integration/support/sample.js';
import { SCM_RIGHTS, SCM_RIGHTS_LISTEN, type System } from './catalogue.js';
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

/** `npm test` has one network of the two (test/run). */
const NETWORKS = SAMPLE ? (['pasta'] as const) : (['pasta', 'slirp4netns'] as const);

describeOnLab('switched sockets in an unaccelerated container', () => {
  beforeAll(async () => {
    await setStage();
    expect((await daemonStatus()).kernel.socketGuard).toBe(true);
  });
  afterAll(clearStage);

  /** What the receiver found out, which the sender prints. */
  async function giveAway(
    network: 'pasta' | 'slirp4netns',
    annotations: Readonly<Record<string, string>>,
    receiverArguments: readonly string[],
  ) {
    const shared = (await host1.output(['mktemp', '-d'])).trim();
    const args = ['-v', `${shared}:/shared`];
    const from = await startTarget({ network, args, annotations });
    const to = await startTarget({ network, args });
    const receiver = { ...SCM_RIGHTS, program: 'scm_receive', arguments: receiverArguments };
    const receiving = to.exec(attackCommand(receiver, TRIES), { timeout: PATIENCE_MS });
    const sender = { ...SCM_RIGHTS, program: 'scm_send' };
    const sent = await from.exec(attackCommand(sender, TRIES), { timeout: PATIENCE_MS });
    await receiving;
    await Promise.all([from.remove(), to.remove()]);
    return parseOutcome(sent.stdout);
  }

  describe.each(NETWORKS)('on %s', (network) => {
    const systems: readonly { system: System; annotations: Readonly<Record<string, string>> }[] = [
      { system: network, annotations: {} },
      { system: `sockswitch-${network}`, annotations: ENABLED },
    ];

    test.each(systems)(
      'from $system, to connect',
      { timeout: 400_000 },
      async ({ system, annotations }) => {
        const { reached, note } = await giveAway(network, annotations, []);
        record({ attack: SCM_RIGHTS.id, system, verdict: reached ? 'reached' : 'blocked', note });
        expect(reached, note).toBe(false);
      },
    );

    test.each(systems)(
      'from $system, to listen',
      { timeout: 400_000 },
      async ({ system, annotations }) => {
        const { reached, note } = await giveAway(network, annotations, ['listen']);
        const verdict = reached ? 'reached' : 'blocked';
        record({ attack: SCM_RIGHTS_LISTEN.id, system, verdict, note });
        expect(reached, note).toBe(false);
      },
    );
  });
});
