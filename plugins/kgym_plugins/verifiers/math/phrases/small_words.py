"""Small words, which a sentence with the answer may have for any question. None of them denies or bounds anything."""

from kgym_plugins.verifiers.math.tables import name_list

SMALL = frozenset(
    name_list(
        """
        is are was were be been being am has have had having do does did must equals equal equalling gives give
        gave yields yield get gets got obtain obtains obtained find finds found make makes made take takes took
        need needs needed leaves leave contain contains hold holds come comes came become becomes remain remains
        remaining use uses used pay pays paid cost costs spend spends spent earn earns earned sell sells sold
        buy buys bought reach reaches arrive arrives travel travels lie lies satisfy satisfies satisfied divide
        divides count evaluates evaluate simplifies reduces add adds exist exists occur occurs appear appears
        form forms represent measures weigh weighs amounts amount sums result results works see show shows
        exactly just only precisely simply indeed so hence thus therefore then also already ago up out down back
        here in total altogether overall different distinct possible possibilities outcomes ways way many much
        such valid time times term terms value number numbers numeral but if as than not while whose us again
        finally next end ends finish finishes itself themselves method methods approach approaches both either
        expression function line curve point points form interval set worth equal equivalent given required desired
    """
    )
)
"""In English: forms of to be, verbs of results and of prices, words that connect. They name no thing that a value
might be of.
"""
SMALL_ELSEWHERE = frozenset(
    name_list(
        """
        le la les l un une des du de d à au aux en et est sont fait font vaut valent donne donnent mesure a ont
        il elle ils on y reste restent ce cette cet son sa ses leur sur pour par avec dans qui que dont donc
        ainsi alors finalement soit égal égale total valeur résultat nombre der die das den dem ein eine einen
        einem einer ist sind hat haben beträgt betragen ergibt es er sie man also somit daher damit und von vom
        im in zu zum zur auf bei mit für insgesamt genau wert zahl gleich ergeben lautet wir erhalten bleiben
        bleibt übrig el los las una unos unas del al tiene tienen hay vale mide da dan queda quedan por con para
        lo su sus se obtiene obtenemos valor número resultado entonces luego así exactamente igual o os as um
        uma do dos em no na é são tem têm há mede dá resta restam e com seu sua logo portanto então assim temos
        exatamente i gli uno di della dei delle nel nella è sono ha hanno fa fanno misura per che suo valore
        numero risultato quindi dunque allora pari restano ci в во на из к у с и это равен равна равно равны
        есть составляет составят будет имеет всего итого получаем получится то он она оно они его её их для по
        от до число значение значит ответ штук осталось остается jest są to w we z ze ma mają wynosi równa równe
        równy się liczba wartość wynik razem więc zatem jego jej dla od po je jsou v ve má mají činí rovná rovno
        číslo hodnota výsledek celkem tedy jeho její pro unidades cuadradas quadradas unités carrées unità
        quadrate einheiten flächeneinheiten quadrateinheiten euros euro là bằng có của và các một những trong
        cho được số giá trị kết quả vậy đó nên tổng cộng thì
    """
    )
)
"""In French, German, Spanish, Portuguese, Italian, Russian, Polish, Czech and Vietnamese."""
