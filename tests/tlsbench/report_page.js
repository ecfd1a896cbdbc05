// What a person would see of the page: sizes, colours, and what sticks out.
(() => {
  const round = (n) => Math.round(n * 10) / 10;
  const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = (text) => {
    const [r, g, b] = rgb(text).slice(0, 3).map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      const alpha = rgb(colour)[3];
      if (alpha === undefined || alpha > 0.99) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const client = document.documentElement.clientWidth;
  const shown = (e) => e.checkVisibility() && e.getBoundingClientRect().width > 0;
  const name = (e) => `${e.tagName} ${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 40)}`;
  const all = [...document.body.querySelectorAll('*')].filter(shown);
  const scrolls = (e) => e.closest('.scroll, pre, svg') && !e.matches('.scroll, pre');
  const wide = all.filter((e) => !scrolls(e) && e.getBoundingClientRect().right > client + 1).map(name);
  const ownText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const texts = all.filter((e) => ownText(e) && !e.closest('title, desc, style'));
  const pale = texts.filter((e) => {
    const style = getComputedStyle(e);
    return contrast(e.closest('svg') ? style.fill : style.color, ground(e)) < 4.5;
  }).map(name);
  const figures = [...document.querySelectorAll('figure')].map((figure) => {
    const svg = figure.querySelector('svg');
    const box = svg.getBoundingClientRect();
    const words = [...svg.querySelectorAll('text')];
    const of = (id) => (document.getElementById(id)?.textContent ?? '').trim();
    const [title, says] = svg.getAttribute('aria-labelledby').split(' ').map(of);
    const outside = words.filter((t) => {
      const r = t.getBoundingClientRect();
      return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1;
    }).map((t) => t.textContent);
    const marks = [...svg.querySelectorAll('rect, path, line, circle')].filter((m) => {
      const r = m.getBoundingClientRect();
      return r.width > 0 || r.height > 0;
    });
    return {
      id: title, says, role: svg.getAttribute('role'), width: round(box.width), height: round(box.height),
      marks: marks.length, words: words.length, outside,
      smallest: round(Math.min(...words.map((t) => t.getBoundingClientRect().height))),
    };
  });
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  const broken = [...document.querySelectorAll('a[href^="#"]')]
    .map((a) => a.getAttribute('href').slice(1)).filter((id) => !ids.includes(id));
  const patterns = [...document.querySelectorAll('[fill^="url(#"]')]
    .map((e) => e.getAttribute('fill').slice(5, -1)).filter((id) => !ids.includes(id));
  return {
    scroll: document.documentElement.scrollWidth, client, wide, pale, figures, twice, broken, patterns,
    ground: luminance(getComputedStyle(document.body).backgroundColor),
    foreign: document.querySelectorAll('script, img, iframe, object, embed, [onerror], [onload]').length,
    tables: document.querySelectorAll('table').length,
    tablesSeen: [...document.querySelectorAll('table')].filter((t) => t.checkVisibility() && t.getBoundingClientRect().height > 0).length,
    nav: [...document.querySelectorAll('nav')].filter(shown).length,
    title: document.title, heading: document.querySelector('h1').textContent,
  };
})()
