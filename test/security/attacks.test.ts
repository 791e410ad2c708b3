/**
 * Every attack in an unaccelerated container and in an accelerated one, by `podman exec`, on both fallback networks: the
 * outcomes must be the same, and nothing of the host's may be reached that is not reached without (slirp4netns passes on
 * datagrams to 127.0.0.1 that are sent out of its interface). attacks/attack.h says what an outcome is.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab } from '../integration/support/lab.js';
import { type Container, ENABLED } from '../integration/support/podman.js';
import { ATTACKS, type System } from './catalogue.js';
import { essence } from './support/outcome.js';
import { record } from './support/results.js';
import { attackIn, clearStage, setStage, startTarget } from './support/stage.js';

/** pasta without host.containers.internal, as Podman before 5.3 starts it. */
const CLOSED = 'pasta:--map-guest-addr,none';

interface Pair {
  readonly plain: Container;
  readonly accelerated: Container;
}

describeOnLab('attacks', () => {
  beforeAll(setStage);
  afterAll(clearStage);

  describe.each(['pasta', 'slirp4netns'] as const)('on %s', (network) => {
    const start = async (on: string): Promise<Pair> => ({
      plain: await startTarget({ network: on }),
      accelerated: await startTarget({ network: on, annotations: ENABLED }),
    });
    let usual: Pair;
    let closed: Pair;
    beforeAll(async () => {
      usual = await start(network);
      closed = network === 'pasta' ? await start(CLOSED) : usual;
    });

    test.each(ATTACKS)('$id', { timeout: 400_000 }, async (attack) => {
      const { plain, accelerated } = attack.ownAddress === true ? closed : usual;
      const expected = await attackIn(plain, attack, false);
      const outcome = await attackIn(accelerated, attack, true);
      const tell = (system: System, { reached, note }: typeof outcome) =>
        record({ attack: attack.id, system, verdict: reached ? 'reached' : 'blocked', note });
      tell(network, expected);
      tell(`sockswitch-${network}`, outcome);
      expect({ ...essence(outcome), note: outcome.note }).toMatchObject(essence(expected));
      expect(outcome.reached && !expected.reached, outcome.note).toBe(false);
    });
  });
});
