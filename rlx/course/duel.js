// Slime volleyball for one court, in the page: it is smooth however far away the kernel is, and goes
// on while the kernel trains. Same constants, same order of events and same roundings as
// rlx/envs/slimegame.py, to which tests/browser/test_duel.py holds it, bit by bit.
const DT = 1 / 30, GRAVITY = -9.8 * 2 * 1.5, NUDGE = 0.1, GAP = NUDGE * DT, GROUND = 1.5;
const BALL_RADIUS = 0.5, AGENT_RADIUS = 1.5, BALL_WALL = 24 - BALL_RADIUS, BALL_CEILING = 48 - BALL_RADIUS;
const NET_SIDE = 0.5 + BALL_RADIUS, NET_TOP = 3.5, BOUNCE = (BALL_RADIUS + AGENT_RADIUS) ** 2;
const AGENT_NEAR = 0.5 + AGENT_RADIUS, AGENT_FAR = 24 - AGENT_RADIUS;
const AGENT_SPEED = 17.5, JUMP_SPEED = 13.5, BALL_SPEED = 22.5, HOLD = 30, LIVES = 5, TIME_LIMIT = 3000;
const BUTTONS = [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 0]];
const SIDES = [-1, 1]; // of an agent's own x in the world: left, right

class Court {
  constructor(serve = () => [-20 + 40 * Math.random(), 10 + 15 * Math.random()]) {
    this.serve = serve;
    this.agents = SIDES.map(() => ({x: 12, y: GROUND, vx: 0, vy: 0})); // x: from the net
    this.lives = [LIVES, LIVES];
    this.time = 0;
    this.newBall();
    this.look();
  }

  newBall() {
    const [vx, vy] = this.serve();
    this.ball = {x: 0, y: 12, vx, vy};
    this.previous = 0;
    this.delay = HOLD;
  }

  look() { // what each sees: itself on the right, all divided by 10
    const {x, y, vx, vy} = this.ball;
    this.seen = SIDES.map((d, side) => [
      ...Object.values(this.agents[side]), d * x, y, d * vx, vy, ...Object.values(this.agents[1 - side]),
    ].map(number => number / 10));
  }

  step(buttons) { // of left and right: forward, backward, jump. Returns who lost the point, or null
    this.time += 1;
    this.agents.forEach((agent, side) => {
      const [forward, backward, jump] = buttons[side];
      agent.vy += GRAVITY * DT;
      if (agent.y <= GROUND + GAP) agent.vy = jump * JUMP_SPEED;
      agent.vx = (backward - forward) * AGENT_SPEED;
      agent.x += agent.vx * DT;
      agent.y += agent.vy * DT;
      if (agent.y <= GROUND) agent.vy = 0;
      agent.y = Math.max(agent.y, GROUND);
      agent.x = Math.min(Math.max(agent.x, AGENT_NEAR), AGENT_FAR);
      if (agent.x === AGENT_NEAR || agent.x === AGENT_FAR) agent.vx = 0;
    });
    const ball = this.ball;
    if (this.delay > 0) {
      this.delay -= 1;
    } else {
      ball.vy += GRAVITY * DT;
      const speed = Math.sqrt(ball.vx * ball.vx + ball.vy * ball.vy);
      if (ball.vx * ball.vx + ball.vy * ball.vy > BALL_SPEED * BALL_SPEED) {
        ball.vx = ball.vx / speed * BALL_SPEED;
        ball.vy = ball.vy / speed * BALL_SPEED;
      }
      this.previous = ball.x;
      ball.x += ball.vx * DT;
      ball.y += ball.vy * DT;
    }
    this.agents.forEach((agent, side) => {
      this.bounce({x: SIDES[side] * agent.x, y: agent.y, vx: SIDES[side] * agent.vx, vy: agent.vy}, BOUNCE);
    });
    this.bounce({x: 0, y: NET_TOP, vx: 0, vy: 0}, 1); // the half-disc on top of the net
    const loser = this.borders();
    if (loser === null) {
      this.look();
    } else {
      this.lives[loser] -= 1;
      this.newBall(); // neither the landing nor the new ball is seen yet
    }
    return loser;
  }

  bounce(other, reach) {
    const ball = this.ball;
    let dx = ball.x - other.x, dy = ball.y - other.y;
    if (!(reach > dx * dx + dy * dy)) return;
    let distance = Math.sqrt(dx * dx + dy * dy);
    if (distance === 0) dy = distance = 1;
    const nx = dx / distance, ny = dy / distance;
    do {
      ball.x += NUDGE * nx;
      ball.y += NUDGE * ny;
      dx = ball.x - other.x;
      dy = ball.y - other.y;
    } while (reach > dx * dx + dy * dy);
    const vx = ball.vx - other.vx, vy = ball.vy - other.vy, approach = vx * nx + vy * ny;
    ball.vx = vx - nx * (approach * 2) + other.vx;
    ball.vy = vy - ny * (approach * 2) + other.vy;
  }

  borders() {
    const ball = this.ball;
    if (Math.abs(ball.x) >= BALL_WALL) {
      ball.vx = -ball.vx;
      ball.x = Math.sign(ball.x) * (BALL_WALL - GAP);
    }
    if (ball.y >= BALL_CEILING) {
      ball.vy = -ball.vy;
      ball.y = BALL_CEILING - GAP;
    }
    if (ball.y > NET_TOP) return null;
    if (ball.y <= GROUND + BALL_RADIUS) return ball.x <= 0 ? 0 : 1;
    const side = Math.sign(this.previous);
    if (side * this.previous > NET_SIDE && side * ball.x <= NET_SIDE) {
      ball.vx = -ball.vx;
      ball.x = side * (NET_SIDE + GAP);
    }
    return null;
  }
}

// Who can play: each is a function of what it sees, and gives its buttons.
const PLAYERS = {
  still: () => [0, 0, 0],
  random: () => [0, 0, 0].map(() => Number(Math.random() < 0.5)),
  follower: ([x, , , , ballX, ballY, ballVx, ballVy]) => { // as Follower in rlx/envs/slimeplayers.py
    const rise = Math.sqrt(ballVy ** 2 + 2 * 2.94 * Math.max(ballY - 0.3, 0));
    let lands = ballX + ballVx * (ballVy + rise) / 2.94;
    if (lands > 2.35) lands = 2 * 2.35 - lands;
    const target = lands > 0 ? lands + 0.05 : 1.2;
    const near = ballX > 0 && Math.hypot(ballX - x, ballY - 0.15) < 0.25 && ballVy < 0;
    return [x > target + 0.03, x < target - 0.03, near].map(Number);
  },
};

// A network's weights are data: [[W, b], …] with a tanh between them, and the table of six at the end.
function logits(layers, seen) {
  return layers.reduce((x, [weight, bias], k) => {
    const sums = weight.map((row, i) => row.reduce((sum, w, j) => sum + w * x[j], bias[i]));
    return k < layers.length - 1 ? sums.map(Math.tanh) : sums;
  }, seen);
}

const KEYS = {
  ArrowLeft: 0, a: 0, ArrowRight: 1, d: 1, ArrowUp: 2, w: 2, ' ': 2, // forward is to the left here
};

function duel(name, {opponent, player, layers}) {
  for (const root of document.querySelectorAll(`[data-duel="${name}"]:not([data-ready])`)) {
    const part = selector => root.querySelector(selector), canvas = part('canvas');
    const act = layers ? seen => {
      const all = logits(layers, seen);
      return BUTTONS[all.indexOf(Math.max(...all))];
    } : PLAYERS[player];
    const pressed = [0, 0, 0];
    let court = new Court(), playing = false, due = 0, stepped = [];
    root.dataset.ready = 'yes';
    part('.asleep').remove();
    const say = text => { part('output').textContent = text; };
    const score = () => `you ${LIVES - court.lives[0]}, ${opponent} ${LIVES - court.lives[1]}`;
    const stop = text => {
      playing = false;
      pressed.fill(0);
      say(text);
    };
    const over = () => Math.min(...court.lives) === 0 || court.time >= TIME_LIMIT;
    const step = now => {
      const loser = court.step([act(court.seen[0]), pressed]);
      stepped = [...stepped.slice(-89), now];
      if (stepped.length === 90) root.dataset.fps = (89000 / (now - stepped[0])).toFixed(1);
      if (loser !== null) say(score());
      if (!over()) return;
      const [theirs, mine] = court.lives;
      const result = mine > theirs ? 'you win' : mine < theirs ? `${opponent} wins` : 'a draw';
      stop(`${score()}: ${result}. Click, or Enter, for another game.`);
    };
    const frame = now => {
      if (!root.isConnected || !playing) return;
      // At most three steps are made up for: after a pause nobody wants to see what was missed.
      if (now - due > 3000 * DT) due = now;
      while (playing && due <= now) {
        step(now);
        due += 1000 * DT;
      }
      draw(canvas, court);
      requestAnimationFrame(frame);
    };
    const start = () => {
      if (playing) return;
      if (over()) court = new Court();
      playing = true;
      stepped = [];
      due = performance.now();
      say(score());
      requestAnimationFrame(frame);
    };
    root.court = court;
    root.onclick = () => { root.focus({preventScroll: true}); start(); };
    root.onblur = () => { if (playing) stop(`${score()}. Click, or press Enter, to go on.`); };
    // JupyterLab listens further out, and would take an arrow for a way to the next cell.
    root.onkeydown = event => {
      // Not blur() for Tab: JupyterLab would take the focus, and Tab would go round in this cell.
      if (event.key === 'Tab') return;
      if (event.key === 'Escape') return root.blur();
      event.stopPropagation();
      if (event.key === 'Enter') start();
      if (event.key in KEYS) pressed[KEYS[event.key]] = 1;
      if (event.key in KEYS || event.key === 'Enter') event.preventDefault();
    };
    root.onkeyup = event => {
      event.stopPropagation();
      if (event.key in KEYS) pressed[KEYS[event.key]] = 0;
    };
    draw(canvas, court);
    say('Click here, or press Enter. ← → move, ↑ or the space bar jumps. You are on the right.');
  }
}

function draw(canvas, {ball, agents, lives}) {
  const c = canvas.getContext('2d'), unit = canvas.width / 48, floor = canvas.height;
  const X = x => (x + 24) * unit, Y = y => floor - y * unit;
  const disc = (x, y, r, colour, from = 0, to = 2 * Math.PI) => {
    c.beginPath();
    c.arc(X(x), Y(y), r * unit, from, to);
    c.fillStyle = colour;
    c.fill();
  };
  c.fillStyle = '#DCEEF8';
  c.fillRect(0, 0, canvas.width, floor);
  c.fillStyle = '#E2CDA4';
  c.fillRect(0, Y(GROUND), canvas.width, GROUND * unit);
  c.fillStyle = '#6E7A88';
  c.fillRect(X(-0.5), Y(NET_TOP), unit, (NET_TOP - GROUND) * unit);
  disc(0, NET_TOP, 0.5, '#6E7A88');
  agents.forEach((agent, side) => {
    const x = SIDES[side] * agent.x, colour = ['#0072B2', '#E69F00'][side];
    disc(x, agent.y, AGENT_RADIUS, colour, Math.PI, 2 * Math.PI);
    const eye = {x: x - 0.62 * SIDES[side], y: agent.y + 0.78};
    const far = Math.max(Math.hypot(ball.x - eye.x, ball.y - eye.y), 1e-9);
    disc(eye.x, eye.y, 0.36, '#FFFFFF');
    disc(eye.x + 0.16 * (ball.x - eye.x) / far, eye.y + 0.16 * (ball.y - eye.y) / far, 0.18, '#263242');
    for (let life = 0; life < lives[side]; life += 1) disc(SIDES[side] * (22.6 - 1.1 * life), 22.6, 0.38, colour);
  });
  // A ball above the picture is a mark at its edge.
  const shown = Math.min(ball.y, floor / unit - 0.3);
  disc(ball.x, shown, shown < ball.y ? 0.3 : BALL_RADIUS + 0.06, '#263242');
  if (shown === ball.y) disc(ball.x, ball.y, BALL_RADIUS - 0.06, '#FAEC78');
}
