/**
 * The least that switching by seccomp notification can cost (bench/workloads/floor.c): no options, no policy, no isolation. The
 * limit for every product that works this way, not a way to run anything.
 */
import type { Driver } from './driver.js';

export const floor: Driver = {
  name: 'floor',
  title: 'least possible switching (unsafe)',
  podmanArgs: ['--network=host', '--privileged', '--entrypoint=["/probe","floor"]'],
  ownNetwork: false,
  unaccelerated: 'host',
  switches: false,
  onRequest: true,
  publishArgs: () => [],
};
