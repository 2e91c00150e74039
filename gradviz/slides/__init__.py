"""Frames as slides: presentations, documents and pictures that other programs open, edit and print.

    drawingml   a painting as native shapes, texts and connectors of PowerPoint
    connectors  which arrows are straight lines between connection sites
    animation   what each click shows and hides
    deck        these as a .pptx file
    document    paintings as the pages of a PDF
    pixels      paintings as PNG, GIF and WebP
    webp        pictures as one animated WebP
    beamer      paintings as overlays of LaTeX Beamer
    extra       the libraries that only slides need (`pip install 'gradviz-explorer[slides]'`)
    save        frames -> a file or a folder, by the ending of its name

All of them read paintings (`gradviz.stage`): the layout is made once, and no format decides where anything stands.
"""

from gradviz.slides.save import FILES, FOLDERS, GraphSlideOptions, SlideOptions, save_graph_slides, save_slides

__all__ = ["FILES", "FOLDERS", "GraphSlideOptions", "SlideOptions", "save_graph_slides", "save_slides"]
