"""Languages other than English: what announces an answer, concludes, takes back and denies. One record for each
language.

To add a language, add a record: its words, and an example and a counter-example for each of the kinds of phrases.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kgym_plugins.verifiers.math.phrases.table import Phrase, Table


@dataclass(frozen=True)
class Language:
    """Words of one language, as regular expressions."""

    name: str
    answer: str
    """Nouns for an answer or a result."""
    copula: str
    """Verbs between the noun and the value."""
    then: str
    """Words that may follow the copula."""
    therefore: str
    """Words that begin a concluding sentence."""
    verbs: str
    """Other verbs before what a sentence says."""
    wrong: str
    """What takes an answer back."""
    announced: tuple[str, str]
    """An example and a counter-example of an announced answer; the others are for a conclusion and for taking back."""
    concluded: tuple[str, str]
    retracted: tuple[str, str]
    spaced: bool = True
    """Whether words are separated by spaces."""


LANGUAGES = (
    Language(
        "French",
        r"(?:bonne\s+)?réponse(?:\s+(?:finale|correcte|exacte))?|résultat(?:\s+final)?",
        "est|sont",
        "donc|alors|ainsi|finalement",
        r"donc|ainsi|par\s+conséquent|finalement|en\s+conclusion|au\s+total"
        r"|on\s+(?:en\s+)?(?:obtient|trouve|conclut|déduit)|d'où",
        r"vaut|mesure|égale?\s+à|égal\s+à",
        r"c'est\s+(?:faux|incorrect|une\s+erreur)|(?:n'est\s+pas|pas)\s+(?:correct|juste|exact|bon|la\s+bonne)"
        r"|me\s+suis\s+trompé"
        r"|est\s+(?:fausse?|incorrecte?|erronée?)",
        ("La réponse est donc 5", "La réponse importe"),
        ("Donc, il reste 5 pommes.", "Il dit donc 5."),
        ("Non, c'est faux", "Oui, c'est juste"),
    ),
    Language(
        "German",
        "(?:richtige\\s+)?antwort|endergebnis|ergebnis|lösung",
        "ist|sind|lautet|beträgt",
        "also|somit|daher|folglich|damit",
        "also|somit|daher|folglich|insgesamt|damit|demnach|schließlich|deshalb",
        "beträgt|betragen|ergibt|hat|haben|gleich",
        r"stimmt\s+(?:\w+\s+)?nicht|(?:ist|war)\s+(?:leider\s+|aber\s+|doch\s+)?(?:falsch|ein\s+fehler"
        r"|nicht\s+(?:richtig|korrekt))"
        r"|habe?\s+mich\s+verrechnet",
        ("Die Antwort lautet also 5", "Die Antwort kenne ich nicht"),
        ("Somit beträgt der Umfang 5 cm.", "Der Umfang beträgt somit 5 cm."),
        ("Das stimmt aber nicht", "Das stimmt"),
    ),
    Language(
        "Spanish",
        r"respuesta(?:\s+(?:final|correcta))?|resultado(?:\s+final)?|solución",
        "es|son|sería",
        r"entonces|por\s+(?:lo\s+)?tanto|pues",
        r"por\s+(?:lo\s+)?tanto|entonces|así(?:\s+que)?|luego|en\s+total|en\s+conclusión|finalmente|por\s+consiguiente",
        r"vale|hay|mide|igual\s+a",
        r"(?:esto|eso|es|está)\s+(?:es\s+|está\s+)?(?:incorrect[oa]|mal|equivocad[oa]|un\s+error)"
        r"|no\s+es\s+(?:correct[oa]|así|la\s+respuesta)"
        r"|me\s+equivoqué",
        ("La respuesta correcta es: 5", "La respuesta importa"),
        ("Por lo tanto, quedan 5 manzanas.", "Quedan por tanto 5."),
        ("Perdón, esto es incorrecto", "Esto es correcto"),
    ),
    Language(
        "Portuguese",
        r"resposta(?:\s+(?:final|correta|certa))?|resultado(?:\s+final)?|gabarito|alternativa\s+correta",
        "é|são|seria",
        "portanto|então|assim|logo",
        r"portanto|logo|assim|então|por\s+isso|no\s+total|concluímos\s+que|finalmente",
        r"vale|há|mede|igual\s+a",
        r"(?:isso|isto|está|é)\s+(?:está\s+|é\s+)?(?:errad[oa]|incorret[oa]|um\s+erro)|não\s+(?:está"
        r"|é)\s+(?:cert[oa]|corret[oa])|me\s+enganei"
        r"|(?:preciso|é\s+preciso)\s+refazer",
        ("A resposta é 5", "A resposta importa"),
        ("Portanto, sobraram 8 figurinhas.", "Sobraram portanto 8."),
        ("Isso está errado", "Isso está certo"),
    ),
    Language(
        "Italian",
        r"risposta(?:\s+(?:finale|corretta|esatta))?|risultato(?:\s+finale)?|soluzione",
        "è|sono|sarebbe",
        "quindi|dunque|allora|perciò",
        r"quindi|dunque|pertanto|perciò|in\s+totale|in\s+conclusione|allora",
        r"vale|misura|ci\s+sono|uguale\s+a",
        r"(?:è|era)\s+(?:sbagliat[oa]|errat[oa]|un\s+errore)|non\s+è\s+(?:corrett[oa]|giust[oa])"
        r"|mi\s+sono\s+sbagliat[oa]|ho\s+sbagliato",
        ("La risposta è quindi 5", "La risposta conta"),
        ("Quindi restano 5 mele.", "Restano quindi 5."),
        ("No, è sbagliato", "No, è giusto"),
    ),
    Language(
        "Russian",
        r"(?:правильный\s+|окончательный\s+)?(?:ответ|результат)",
        "это|равен|равна|будет",
        "значит|тогда",
        r"следовательно|таким\s+образом|значит|итак|поэтому|всего|в\s+итоге|итого",
        "равен|равна|равно|равны|составляет|есть",
        r"(?:это|ответ)\s+(?:\w+\s+)?(?:неверно|неправильно|не\s+так|ошибка|неверный|неправильный)"
        r"|не\s+(?:верно|подходит)|я\s+ошиб",
        ("Ответ: 5", "Ответ неизвестен"),
        ("Таким образом, осталось 5 яблок.", "Осталось таким образом 5."),
        ("Нет, это неверно", "Да, это верно"),
    ),
    Language(
        "Ukrainian", "відповідь", "це", "отже", "отже|таким\\s+чином", "дорівнює",
        "це\\s+(?:неправильно|невірно|помилка)",
        ("Відповідь: 5", "Відповідь невідома"),
        ("Отже, залишилось 5.", "Залишилось отже 5."),
        ("це неправильно", "це правильно"),
    ),
    Language(
        "Polish",
        r"(?:poprawna\s+|prawidłowa\s+)?odpowied[źz]|wynik",
        "to|jest|wynosi|brzmi",
        "więc|zatem",
        r"zatem|więc|czyli|(?:po\s+\w+\s+(?:\w+\s+)?)?(?:otrzymujemy|dostajemy)(?:,?\s+że)?"
        r"|ostatecznie|razem|stąd|w\s+sumie|podsumowując|łącznie",
        "wynosi|jest|równa\\s+się|ma|mają",
        r"to\s+(?:jest\s+)?(?:błąd|błędne|nieprawda|źle|niepoprawne)|nie\s+jest\s+(?:poprawn|prawidłow)|pomyli",
        ("Odpowiedź: 5", "Odpowiedź znamy"),
        ("Zatem Kasia ma 5 lat.", "Kasia ma zatem 5 lat."),
        ("to jest błąd", "to jest dobrze"),
    ),
    Language(
        "Czech",
        r"(?:správná\s+)?odpověď|výsledek|řešení",
        "je|jsou|zní",
        "tedy|proto",
        r"tedy|proto|celkem(?:\s+tedy)?|takže|dohromady|závěrem|tudíž",
        "je|jsou|činí|má|rovná\\s+se",
        r"to\s+(?:\w+\s+)?(?:chyba|špatně|nesprávně)|není\s+(?:správn|pravda)|spletl",
        ("Odpověď: 5", "Odpověď známe"),
        ("Celkem tedy zaplatili 5 korun.", "Zaplatili celkem 5 korun."),
        ("to je špatně", "to je správně"),
    ),
    Language(
        "Vietnamese",
        r"đáp\s+(?:án|số)(?:\s+đúng)?|kết\s+quả",
        "là|bằng",
        "vậy",
        r"vậy|do\s+đó|suy\s+ra|kết\s+luận|tổng\s+cộng|như\s+vậy",
        "là|bằng|có",
        r"(?:điều\s+này|kết\s+quả\s+này|đáp\s+án\s+này|như\s+vậy)\s+(?:là\s+)?(?:sai|không\s+đúng|nhầm)"
        r"|bị\s+(?:sai|nhầm)|tôi\s+(?:đã\s+)?(?:tính\s+)?(?:sai|nhầm)",
        ("Vậy đáp án là 75", "Vậy đáp án khác"),
        ("Vậy còn 5 quả cam.", "Còn 5 quả cam."),
        ("Điều này sai", "Điều này đúng"),
    ),
    Language(
        "Chinese",
        "(?:最终|最終|正确|正確|本题|此题)?(?:答案|结果|結果|答)|(?<!不)(?:正确|正確)的?(?:选项|選項|选择|選擇)",
        "应该是|應該是|应为|應為|应是|就是|等于|等於|是|为|為|选|選",
        "因此",
        "因此|所以|故|综上(?:所述)?|綜上(?:所述)?|于是|從而|从而|最后|最後|总共|一共",
        "等于|等於|为|為|是|有",
        "不对|不對|错误|錯誤|有误|有誤|错了|錯了|不正确|不正確|重新计算|重新計算|算错|算錯|更正",
        ("答案是 5", "没有答案"),
        ("因此，付了 5 元。", "付了因此。"),
        ("不对，我多算了", "对，没有问题"),
        spaced=False,
    ),
    Language(
        "Japanese",
        "(?:最終的な|正しい)?(?:答え|答|解答|正解)",
        "は",
        "よって",
        "したがって|よって|ゆえに|つまり|以上(?:より|から|のことから)|合計で|従って|それゆえ|すなわち|結局",
        "は",
        "間違い|間違え|間違って|誤り|正しくない|正しくありません|忘れてい",
        ("答えは 5", "答えがない"),
        ("したがって、5 個です。", "5 個したがって。"),
        ("いや、これは間違い", "はい、これは正解"),
        spaced=False,
    ),
    Language(
        "Korean",
        "(?:최종\\s*)?(?:정답|답)",
        "은|는",
        "따라서",
        "따라서|그러므로|결국|즉|이상에서|그래서|이로부터",
        "은|는|이",
        "틀렸|잘못|틀린|아닙니다|실수",
        ("정답은 5", "정답 없음"),
        ("따라서 5 개입니다.", "5 개 따라서."),
        ("이것은 틀렸", "이것은 맞"),
        spaced=False,
    ),
    Language(
        "Dutch", "(?:juiste\\s+)?antwoord", "is", "dus|daarom", "dus|daarom|in\\s+totaal", "is|zijn",
        "(?:dat|dit)\\s+is\\s+(?:fout|onjuist|niet\\s+juist)",
        ("Het antwoord is dus 5", "Het antwoord volgt"),
        ("Dus er zijn 5 appels.", "Er zijn dus 5."),
        ("dit is fout", "dit is goed"),
    ),
    Language(
        "Romanian", "răspuns(?:ul)?(?:\\s+final)?", "este", "deci", "deci|prin\\s+urmare|așadar|în\\s+total",
        "este|sunt", "este\\s+(?:greșit|incorect)",
        ("Răspunsul este 5", "Răspunsul contează"),
        ("Deci au rămas 5 mere.", "Au rămas deci 5."),
        ("este greșit", "este corect"),
    ),
    Language(
        "Greek", "απάντηση", "είναι", "λοιπόν|άρα", "άρα|επομένως|συνεπώς|συνολικά", "είναι",
        "είναι\\s+(?:λάθος|λανθασμέν)",
        ("Η απάντηση είναι 5", "Η απάντηση λείπει"),
        ("Άρα μένουν 5 μήλα.", "Μένουν άρα 5."),
        ("είναι λάθος", "είναι σωστό"),
    ),
    Language(
        "Turkish", "cevap|yanıt|sonuç", "ise|şudur", "o\\s+halde",
        "o\\s+halde|dolayısıyla|sonuç\\s+olarak|toplamda|böylece", "dir", "(?:bu\\s+)?yanlış|hatalı",
        ("Cevap: 5", "Cevap yok"), ("O halde 5 elma kalır.", "Kalır o halde 5."), ("bu yanlış", "bu doğru"),
    ),
    Language(
        "Hebrew", "התשובה|תשובה", "היא|הוא", "לכן", "לכן|ולכן|בסך\\s+הכול", "היא|הוא", "(?:זה\\s+)?(?:שגוי|לא\\s+נכון)",
        ("התשובה היא 5", "התשובה חסרה"), ("לכן נשארו 5.", "נשארו לכן 5."), ("זה שגוי", "זה נכון"),
    ),
    Language(
        "Thai", "(?:ดังนั้น)?คำตอบ(?:สุดท้าย)?", "คือ|เป็น", "จึง", "ดังนั้น|เพราะฉะนั้น|สรุป",
        "คือ|เป็น|เท่ากับ", "ไม่ถูกต้อง|ผิด",
        ("คำตอบคือ 5", "คำตอบไม่มี"), ("ดังนั้น เหลือ 5", "เหลือ ดังนั้น 5"), ("ไม่ถูกต้อง", "ถูกต้อง"), spaced=False,
    ),
)  # fmt: skip

COMMA_NOUNS = re.compile(
    "|".join(f"(?<!\\w)(?:{one.answer})" for one in LANGUAGES if one.spaced and one.name != "Hebrew"), re.IGNORECASE
)
"""Nouns for an answer in the languages that write 2,5 for two and a half."""
COMMA_THEREFORE = re.compile(
    r"\W{0,9}(?:"
    + "|".join(one.therefore for one in LANGUAGES if one.spaced and one.name not in ("Hebrew", "Thai"))
    + r")\b",
    re.IGNORECASE,
)
"""What begins a conclusion in these languages."""
_STARS = r"[*_]{0,3}[ \t]{0,4}"


def _announcing_elsewhere() -> Iterator[Phrase]:
    """Yield what announces an answer in each language."""
    for one in LANGUAGES:
        edge, gap = (r"(?<!\w)", r"\b") if one.spaced else ("", "")
        yield Phrase(
            rf"{edge}(?:{one.answer}){gap}{_STARS}(?:(?:{one.copula}){gap}(?:[ \t]{{1,4}}(?:{one.then}){gap})?"
            rf"|—|–|:|：|=)"
            r"[ \t:：]{0,4}[*_]{0,3}\s{0,9}",
            one.name,
            *one.announced,
        )
    yield Phrase(
        r"【(?:答案|解答)】\s{0,4}|(?:(?:故|因此|所以|应|應)(?:本题|此题|答案)?(?:应|應)?(?:选择|選擇|选|選)"
        r"|(?:答案|本题|此题)(?:应|應)?(?:选|選))(?:项|項)?\s{0,3}[:：]?\s{0,3}",
        "Chinese choices",
        "故选：B",
        "选手",
    )
    yield Phrase(
        r"(?<!\w)chọn\s+(?:đáp\s+án|phương\s+án|câu)?\s{0,3}:?\s{0,3}(?=\(?[A-J]\b)",
        "Vietnamese choices",
        "Chọn đáp án C",
        "Chọn số 5",
    )


ANNOUNCING_ELSEWHERE = Table(
    "announcements in other languages", "what follows is the answer", "within", *_announcing_elsewhere()
)
NOUNS = re.compile("|".join([*(one.answer for one in LANGUAGES), "选|選", "chọn"]), re.IGNORECASE)
"""Cheaper than the announcements: a text without one of these nouns announces nothing in these languages."""


def concluding_elsewhere() -> Iterator[Phrase]:
    """Yield what begins a concluding sentence in each language."""
    for one in LANGUAGES:
        yield Phrase(rf"\W{{0,9}}(?:{one.therefore})" + (r"\b" if one.spaced else ""), one.name, *one.concluded)


def verbs_elsewhere() -> Iterator[Phrase]:
    """Yield the verbs before what a sentence says in each language with spaces."""
    for one in LANGUAGES:
        if one.spaced:
            verbs = "|".join(verb for verb in f"{one.copula}|{one.verbs}".split("|") if verb != "to")  # an English word
            example = next(iter(re.split(r"[|\\(]", one.copula.removeprefix("to|"))))
            yield Phrase(rf"(?<!\w)(?:{verbs})\s*:?\s+", one.name, f"x {example} 5", "x y 5")


BACK_ELSEWHERE = Table(
    "an answer is taken back in other languages",
    "the answer right before it is not meant",
    "within",
    *(Phrase((r"(?<!\w)" if one.spaced else "") + rf"(?:{one.wrong})", one.name, *one.retracted) for one in LANGUAGES),
)
DENYING = Table(
    "denied values",
    "the value after it is not the answer",
    "end",
    Phrase(
        r"\b(?:is\s+not|isn't|cannot\s+be|can't\s+be|is\s+never)\s+[$:(*\\]{0,3}\s*",
        "English",
        "so it is not $",
        "so it is $",
    ),
    Phrase(
        r"(?:n'est\s+pas|ist\s+nicht|no\s+es|não\s+é|non\s+è|не\s+равен|не|nie\s+jest|není|không\s+phải\s+là|不是"
        r"|不等于)\s*[$:(*\\]{0,3}\s*",
        "other languages",
        "O valor não é $",
        "O valor é $",
    ),
)
DENIED = Table(
    "negated verbs in other languages",
    "the sentence says what something is not",
    "within",
    Phrase(
        r"\b(?:n'est\s+pas|ist\s+nicht|no\s+es|não\s+é|non\s+è|не\s+рав\w+|nie\s+jest|nie\s+wynosi|není|không\s+phải)\b"
        r"|不是|不等于|ではない|ではありません|でない|じゃない|ではなく|아니다|아닙니다|아니라|아니므로",
        "other languages",
        "La respuesta no es 9",
        "La respuesta es 9",
    ),
)
NO_ELSEWHERE = re.compile(
    r"\b(?:pas|nicht|kein\w*|não|non|не|нет|nie|není|không|hayır|değil\w*|nu|niet|geen|δεν|δε|לא|אינו|אינה)\b"
    r"|ไม่|不(?!同)|没|ない|ません|않|아니|아닙",
    re.IGNORECASE,
)
"""Negations: a sentence with one does not say its number."""
UNSURE_ELSEWHERE = re.compile(
    r"\b(?:mindestens|höchstens|ungefähr|etwa|rund|circa|au\s+(?:moins|plus)|environ"
    r"|(?:al|por\s+lo)\s+menos|como\s+(?:máximo|mínimo)|aproximadamente|cerca\s+de"
    r"|pelo\s+menos|no\s+(?:máximo|mínimo)|almeno|al\s+(?:massimo|minimo|più)"
    r"|не\s+(?:менее|более|меньше|больше)|минимум|максимум|около|примерно|щонайменше|щонайбільше|приблизно"
    r"|co\s+(?:najmniej|najwyżej)|około|alespoň|nejméně|nejvýše|asi|přibližně|ít\s+nhất|nhiều\s+nhất|khoảng"
    r"|minstens|hoogstens|ongeveer|cel\s+(?:puțin|mult)|aproximativ|τουλάχιστον|το\s+πολύ|περίπου"
    r"|en\s+(?:az|fazla|çok)|yaklaşık"
    r"|vielleicht|peut-être|quizás?|talvez|forse|возможно|może|možná|có\s+thể|misschien|poate|ίσως|belki)\b"
    r"|לפחות|לכל היותר|בערך|אולי|อย่างน้อย|อย่างมาก|ประมาณ|อาจ"
    r"|至少|至多|不超过|大约|可能|少なくとも|最大でも|約|적어도|최대|약",
    re.IGNORECASE,
)
"""Bounds, estimates and doubts: a sentence with one does not say its number plainly."""
