// Draws each chart that carries its data again on a canvas, with tooltips, and hides its SVG twin on screen (paper keeps it).
(() => {
  'use strict';
  if (!window.Chart || !window.CanvasRenderingContext2D) return;

  const shapes = ['circle', 'rectRot', 'triangle', 'rect', 'star', 'crossRot'];
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const series = line => Number(line.style.match(/series-(\d+)/)[1]);
  const faint = (hex, alpha) => hex + Math.round(255 * alpha).toString(16).padStart(2, '0');

  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;

  // The interval about each point: a band along a line, a bar through a dot.
  const intervals = {
    beforeDatasetsDraw(chart) {
      const context = chart.ctx;
      chart.data.datasets.forEach((set, index) => {
        const held = set.data.map((point, i) => ({point, at: chart.getDatasetMeta(index).data[i]}))
            .filter(({point}) => point.low !== null && point.high !== null && point.value !== null);
        if (!chart.isDatasetVisible(index) || held.length === 0) return;
        const scale = chart.scales[chart.rows ? 'x' : set.yAxisID];
        const ends = held.map(({point, at}) => ({at, low: scale.getPixelForValue(point.low), high: scale.getPixelForValue(point.high)}));
        context.save();
        context.beginPath();
        if (set.showLine) {
          ends.forEach(({at, high}) => context.lineTo(at.x, high));
          ends.reverse().forEach(({at, low}) => context.lineTo(at.x, low));
          context.fillStyle = faint(set.borderColor, 0.13);
          context.fill();
        } else {
          ends.forEach(({at, low, high}) => {
            context.moveTo(chart.rows ? low : at.x, chart.rows ? at.y : low);
            context.lineTo(chart.rows ? high : at.x, chart.rows ? at.y : high);
          });
          context.lineWidth = 3;
          context.strokeStyle = set.borderColor;
          context.stroke();
        }
        context.restore();
      });
    }
  };

  function dataset(line, rows) {
    const mean = line.style.includes('mean');
    return {
      label: line.label, entry: line.entry, line, showLine: line.joined, yAxisID: line.right ? 'right' : 'y', borderWidth: 2, clip: 9,
      borderDash: line.style.includes('dashed') ? [6, 4] : line.style.includes('dotted') ? [2, 4] : [],
      pointStyle: shapes[series(line)], order: mean ? 0 : 1,
      pointRadius: mean ? 8 : line.joined ? 3.5 : 3, pointHoverRadius: mean ? 9 : 6, pointHitRadius: 8, pointBorderWidth: mean ? 2 : line.joined ? 1 : 0,
      data: line.x.map((x, i) => {
        const value = line.y[i];
        return {x: rows ? value : x, y: rows ? x : value, value, low: line.low[i] ?? null, high: line.high[i] ?? null, note: line.notes[i]};
      })
    };
  }

  function axis(data, options) {
    return {
      type: data.logarithmic ? 'logarithmic' : 'linear', min: data.low, max: data.high,
      title: {display: data.label !== '', text: data.label}, border: {},
      afterBuildTicks(scale) { scale.ticks = data.ticks.map(value => ({value})); },
      ...options, ticks: {callback: (value, i) => data.names[i], autoSkip: true, maxRotation: 60, ...options.ticks}
    };
  }

  function paint(chart) {
    for (const set of chart.data.datasets) {
      set.borderColor = colour('series-' + series(set.line));
      const mean = set.line.style.includes('mean');
      set.backgroundColor = set.pointBackgroundColor = set.showLine || mean ? set.borderColor : faint(set.borderColor, 0.5);
      set.pointBorderColor = mean ? colour('surface') : set.pointBackgroundColor;
    }
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = colour('muted');
      scale.title.color = colour('text');
      scale.grid.color = colour('line');
    }
    const tip = chart.options.plugins.tooltip;
    tip.backgroundColor = colour('text');
    tip.bodyColor = colour('page');
    chart.update('none');
  }

  // Each entry of the legend becomes a button that hides and shows its lines.
  function make_buttons(figure, chart) {
    figure.querySelectorAll('.legend li').forEach((item, entry) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.setAttribute('aria-pressed', 'true');
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener('click', () => {
        const shown = button.getAttribute('aria-pressed') !== 'true';
        button.setAttribute('aria-pressed', String(shown));
        chart.data.datasets.forEach((set, i) => { if (set.entry === entry) chart.setDatasetVisibility(i, shown); });
        chart.update('none');
      });
    });
  }

  // Left and right walk over the points, which the tooltip then reads out.
  function walk(chart) {
    const points = () => chart.data.datasets.flatMap((set, datasetIndex) => !chart.isDatasetVisible(datasetIndex) ? [] :
        set.data.map((point, index) => ({datasetIndex, index, point})).filter(({point}) => point.value !== null && point.x !== null));
    let place = -1;
    const show = active => {
      chart.setActiveElements(active);
      chart.tooltip.setActiveElements(active, {x: 0, y: 0});
      chart.update('none');
      chart.canvas.setAttribute('aria-description', active.length ? active[0].point.note : '');
    };
    chart.canvas.addEventListener('keydown', event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      const all = points();
      if (!step || all.length === 0) return;
      event.preventDefault();
      place = place < 0 ? (step > 0 ? 0 : all.length - 1) : (place + step + all.length) % all.length;
      show([all[place]]);
    });
    chart.canvas.addEventListener('blur', () => { place = -1; show([]); });
  }

  function draw(figure, data) {
    const twin = figure.querySelector('svg[role=img]');
    const box = document.createElement('div');
    box.className = 'canvas';
    box.style.aspectRatio = `${twin.viewBox.baseVal.width} / ${twin.viewBox.baseVal.height}`;
    const canvas = box.appendChild(document.createElement('canvas'));
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-labelledby', twin.getAttribute('aria-labelledby'));
    twin.after(box);
    figure.classList.add('drawn');

    const {rows, lines} = data;
    const names_above = {mirror: true, labelOffset: -15, padding: -4, autoSkip: false, font: {size: 12}};
    const bare = {display: false, drawBorder: false};
    const scales = rows ? {x: axis(data.y, {grid: {}}), y: axis(data.x, {reverse: true, grid: bare, ticks: names_above})}
                        : {x: axis(data.x, {grid: {display: false}}), y: axis(data.y, {grid: {drawBorder: false}})};
    if (data.right) scales.right = axis(data.right, {position: 'right', grid: {drawOnChartArea: false, drawBorder: false}});
    const few = lines.length <= 6 && lines.every(line => line.joined);
    const chart = new Chart(canvas, {
      type: 'scatter',
      data: {datasets: lines.map(line => dataset(line, rows))},
      plugins: [intervals],
      options: {
        scales, interaction: few ? {mode: 'index', intersect: false} : {mode: 'nearest', intersect: true},
        plugins: {
          legend: {display: false},
          tooltip: {displayColors: false, padding: 8, bodyFont: {size: 12}, callbacks: {title: () => '', label: item => item.raw.note}}
        }
      }
    });
    chart.rows = rows;
    paint(chart);
    make_buttons(figure, chart);
    walk(chart);
    return chart;
  }

  const charts = [];
  for (const block of document.querySelectorAll('.chart > script[type="application/json"]')) {
    charts.push(draw(block.parentElement, JSON.parse(block.textContent)));
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.forEach(paint));
})();
