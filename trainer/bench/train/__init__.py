"""How fast training is on the machine at hand, part by part: `npm run bench:train`."""
