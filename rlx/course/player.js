// Brings every player of that name to life which is not alive yet: a page may show one twice.
function play(name, {frames, steps, fps, cursor}) {
  for (const player of document.querySelectorAll(`[data-player="${name}"]:not([data-ready])`)) {
    const part = selector => player.querySelector(selector);
    const button = part('button'), slider = part('input');
    const last = steps[steps.length - 1];
    let timer = null;
    player.dataset.ready = 'yes';
    part('.controls').style.display = 'flex';
    part('.asleep').remove();

    const show = k => {
      slider.value = k;
      slider.setAttribute('aria-valuetext', `step ${steps[k]} of ${last}`);
      part('.frame').src = 'data:image/webp;base64,' + frames[k];
      part('output').textContent = 'step ' + steps[k];
      const share = steps[k] / Math.max(last, 1);
      part('.cursor').style.left = 100 * (cursor[0] + (cursor[1] - cursor[0]) * share) + '%';
    };
    const say = (title, sign) => {
      button.title = title;
      button.setAttribute('aria-label', title);
      button.textContent = sign;
    };
    const pause = () => {
      clearTimeout(timer);
      timer = null;
      say('Play', '\u25b6');
    };
    const next = () => {
      if (!player.isConnected) return;
      show((Number(slider.value) + 1) % frames.length);
      const atEnd = Number(slider.value) === frames.length - 1;
      timer = setTimeout(next, atEnd ? 1000 : 1000 / fps);
    };
    button.onclick = () => {
      if (timer !== null) return pause();
      say('Pause', '\u275a\u275a');
      next();
    };
    slider.oninput = () => { pause(); show(Number(slider.value)); };
    // JupyterLab listens further out, and would take an arrow for a way to the next heading.
    part('.controls').onkeydown = event => {
      if (!['Tab', 'Escape'].includes(event.key)) event.stopPropagation();
    };
  }
}
