// Plays MemoryTask-v0 with the simplest possible memory, a variable: `node examples/remember.mjs [URL]`
import { Client } from "../strategic-memory.mjs";

const client = new Client(process.argv[2], { token: process.env.STRATEGIC_MEMORY_TOKEN });

const env = await client.make("MemoryTask-v0", { kwargs: { delay: 8, difficulty: 1 } });
try {
  for (let seed = 0; seed < 5; seed++) {
    const { observation } = await env.reset({ seed });
    const cue = observation[0];
    let total = 0;
    for (let isOver = false; !isOver; ) {
      const { reward, terminated, truncated } = await env.step(cue);
      total += reward;
      isOver = terminated || truncated;
    }
    console.log(`seed ${seed}: the cue was ${cue}, return ${total}`);
  }
} finally {
  await env.close();
}

// Sixteen lanes, one request per step.
const envs = await client.makeVector("MemoryTask-v0", 16, { kwargs: { delay: 8 }, autoresetMode: "SameStep" });
try {
  const { observations } = await envs.reset({ seed: 0 });
  const cues = observations.map((/** @type {number[]} */ row) => row[0]);
  /** @type {number[]} */
  let rewards = [];
  for (let step = 0; step < 8; step++) ({ rewards } = await envs.step(cues));
  console.log(`sixteen lanes: mean return ${rewards.reduce((sum, reward) => sum + reward, 0) / 16}`);
} finally {
  await envs.close();
}
